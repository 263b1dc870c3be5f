#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include "listing.hpp"
#include "taskgalaxy/pool/file_reader.hpp"
#include "unit/pictures/fixtures.hpp"

namespace tg::ingest {
namespace {

using namespace test;

pool::PoolSettings settings_for(std::vector<std::string> sources) {
    pool::PoolSettings settings;
    settings.sources = std::move(sources);
    settings.threads = 2;
    return settings;
}

std::vector<std::string> uris_of(const Listing& listing) {
    std::vector<std::string> uris;
    for (const auto& picture : listing.pictures()) uris.push_back(picture.uri);
    return uris;
}
using Uris = std::vector<std::string>;

std::string refusal(const pool::PoolSettings& settings) {
    try {
        list_sources(settings);
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing was refused";
}

void write_tar(const std::filesystem::path& path, const std::vector<std::pair<std::string, std::string>>& members,
               void (*format)(archive*)) {
    const std::unique_ptr<archive, int (*)(archive*)> out(archive_write_new(), archive_write_free);
    format(out.get());
    ASSERT_EQ(archive_write_open_filename(out.get(), path.c_str()), ARCHIVE_OK);
    for (const auto& [name, body] : members) {
        const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(), archive_entry_free);
        archive_entry_set_pathname(entry.get(), name.c_str());
        archive_entry_set_size(entry.get(), static_cast<la_int64_t>(body.size()));
        archive_entry_set_filetype(entry.get(), AE_IFREG);
        archive_entry_set_perm(entry.get(), 0644);
        ASSERT_GE(archive_write_header(out.get(), entry.get()), ARCHIVE_WARN);
        archive_write_data(out.get(), body.data(), body.size());
    }
    archive_write_close(out.get());
}
void pax(archive* a) { archive_write_set_format_pax(a); }
void gnu(archive* a) { archive_write_set_format_gnutar(a); }
void ustar(archive* a) { archive_write_set_format_ustar(a); }

TEST(folder_source, lists_pictures_by_path_bytes_and_counts_the_rest) {
    const ScratchFolder folder;
    for (const auto* name :
         {"b.PNG", "a/z.jpg", "a.jpg", "a/\xC3\xA9.gif", "a/\xFF.bmp", "notes.txt", "sound.ogg", "none"})
        folder.write(name, "x");
    std::filesystem::create_directory(folder.path() / "empty");
    const auto listing = list_sources(settings_for({folder.path()}));
    EXPECT_EQ(uris_of(listing), (Uris{"a.jpg", "a/z.jpg", "a/\xC3\xA9.gif", "a/\xFF.bmp", "b.PNG"}));
    EXPECT_EQ(listing.counts().ignored, 3u);
}

TEST(folder_source, follows_links_and_refuses_a_loop) {
    const ScratchFolder folder, elsewhere;
    elsewhere.write("deep/x.jpg", "x");
    folder.write("y.jpg", "y");
    std::filesystem::create_directory_symlink(elsewhere.path(), folder.path() / "link");
    std::filesystem::create_symlink("/nowhere", folder.path() / "broken.jpg");
    EXPECT_EQ(uris_of(list_sources(settings_for({"folder:" + folder.path().string()}))),
              (Uris{"broken.jpg", "link/deep/x.jpg", "y.jpg"}));
    std::filesystem::create_directory_symlink(folder.path(), elsewhere.path() / "back");
    EXPECT_NE(refusal(settings_for({folder.path()})).find("leads back"), std::string::npos);
}

TEST(folder_source, has_another_identity_once_a_file_was_added) {
    const ScratchFolder folder;
    folder.write("a.jpg", "x");
    auto settings = settings_for({folder.path()});
    const auto identity = [&] {
        DigestBuilder inputs;
        for (const auto& [spec, kind] : sources_of(settings)) kind->identify(spec, settings, inputs);
        return inputs.finish();
    };
    const auto before = identity();
    EXPECT_EQ(identity(), before);
    folder.write("b.jpg", "x");
    EXPECT_NE(identity(), before);
    settings.watch_sources = false;
    const auto unwatched = identity();
    folder.write("c.jpg", "x");
    EXPECT_EQ(identity(), unwatched);
}

TEST(tar_source, finds_each_member_where_its_bytes_lie) {
    const ScratchFolder folder;
    std::vector<std::pair<std::string, std::string>> members;
    const std::string long_name = std::string(180, 'n') + "/" + std::string(120, 'm') + ".jpg";
    for (int i = 0; i < 12; ++i)
        members.emplace_back(fmt::format("{:03}.jpg", i),
                             std::string(static_cast<std::size_t>(700 * i), static_cast<char>('a' + i)));
    for (const auto& [name, format] :
         {std::pair<const char*, void (*)(archive*)>{"a.tar", pax}, {"b.tar", gnu}, {"c.tar", ustar}}) {
        auto all = members;
        if (format != ustar) all.emplace_back(long_name, "long"), all.emplace_back("\xC3\xA9.jpg", "accent");
        all.emplace_back("001.json", "{}");
        all.emplace_back("./dot.jpg", "dot");
        write_tar(folder.path() / name, all, format);
        const auto listing = list_sources(settings_for({"tar:" + (folder.path() / name).string()}));
        EXPECT_EQ(listing.counts().ignored, 1u);
        ASSERT_EQ(listing.pictures().size(), all.size() - 1);
        const pool::PictureFiles files(listing.containers());
        std::size_t checked = 0;
        for (const auto& picture : listing.pictures())
            for (auto [member, body] : all) {
                if (member.starts_with("./")) member.erase(0, 2);
                if (picture.uri != std::string(name) + "/" + member) continue;
                const auto bytes = files.read(picture, 1 << 20);
                EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), body) << picture.uri;
                ++checked;
            }
        EXPECT_EQ(checked, listing.pictures().size());
    }
}

TEST(tar_source, expands_shard_ranges_and_names_a_missing_or_cut_one) {
    const ScratchFolder folder;
    std::filesystem::create_directory(folder.path() / "set");
    for (const auto* name : {"s-008.tar", "s-009.tar", "s-010.tar"})
        write_tar(folder.path() / "set" / name, {{"x.jpg", std::string(3000, 'x')}}, pax);
    const auto base = "tar:" + folder.path().string();
    EXPECT_EQ(uris_of(list_sources(settings_for({base + "/set/s-{008..010}.tar"}))),
              (Uris{"s-008.tar/x.jpg", "s-009.tar/x.jpg", "s-010.tar/x.jpg"}));
    EXPECT_EQ(uris_of(list_sources(settings_for({base + "/*/s-01*.tar"}))), (Uris{"set/s-010.tar/x.jpg"}));
    EXPECT_NE(refusal(settings_for({base + "/set/s-{008..011}.tar"})).find("s-011.tar: no such shard"),
              std::string::npos);
    std::filesystem::resize_file(folder.path() / "set/s-009.tar", 2048);
    EXPECT_NE(refusal(settings_for({base + "/set/*.tar"})).find("s-009.tar"), std::string::npos);
    folder.write("set/text.tar", "this is not a tar file, though it is called one");
    EXPECT_NE(refusal(settings_for({base + "/set/text.tar"})).find("text.tar"), std::string::npos);
}

TEST(tar_source, takes_the_later_of_two_members_of_one_name) {
    const ScratchFolder folder;
    write_tar(folder.path() / "a.tar", {{"x.jpg", "old"}, {"y.jpg", "y"}, {"x.jpg", "newer"}}, pax);
    const auto listing = list_sources(settings_for({"tar:" + (folder.path() / "a.tar").string()}));
    ASSERT_EQ(listing.pictures().size(), 2u);
    EXPECT_EQ(listing.pictures()[0].bytes, 5u);
    EXPECT_EQ(listing.counts().repeated, 1u);
}

TEST(manifest_source, reads_every_layout_of_records) {
    const ScratchFolder folder;
    folder.write(
        "llava.json",
        R"([{"id": "1", "image": "data/coco/b.jpg", "conversations": [{"from": "human", "value": "<image>\nimage?"}]},
                                   {"id": "2", "conversations": []}, {"id": "3", "image": ["data/a.jpg",
                                   "data/c.jpg"]}, {"id": "4", "image": "data/a.jpg"}])");
    folder.write("lines.jsonl",
                 "{\"image\": \"data/a.jpg\", \"width\": 3}\n\n{\"text\": \"none\"}\n{\"messages\": [{\"content\": "
                 "[{\"type\": \"image\", \"image\": \"data/q.jpg\"}]}]}\n");
    folder.write("table.csv", "id,image,caption\r\n1,data/a.jpg,\"one, two\"\r\n2,,none\r\n3,\"data/d,1.jpg\",x\r\n");
    folder.write("table.tsv", "\xEF\xBB\xBFimage\tid\ndata/a.jpg\t1\n");
    const auto list = [&](const char* file) {
        auto settings = settings_for({"manifest:" + (folder.path() / file).string()});
        settings.strip_prefix = "data/";
        settings.image_root = "/pictures";
        return list_sources(settings);
    };
    const auto llava = list("llava.json");
    EXPECT_EQ(uris_of(llava), (Uris{"a.jpg", "c.jpg", "coco/b.jpg"}));
    EXPECT_EQ(llava.counts().repeated, 1u);
    EXPECT_EQ(llava.counts().without_picture, 1u);
    EXPECT_EQ(llava.containers().at(0).path, "/pictures");
    const auto lines = list("lines.jsonl");
    EXPECT_EQ(uris_of(lines), (Uris{"a.jpg", "q.jpg"}));
    EXPECT_EQ(lines.counts().without_picture, 1u);
    const auto table = list("table.csv");
    EXPECT_EQ(uris_of(table), (Uris{"a.jpg", "d,1.jpg"}));
    EXPECT_EQ(table.counts().without_picture, 1u);
    EXPECT_EQ(uris_of(list("table.tsv")), (Uris{"a.jpg"}));
}

TEST(manifest_source, says_where_a_manifest_is_broken) {
    const ScratchFolder folder;
    folder.write("cut.json", R"([{"image": "a.jpg"}, {"image": )");
    folder.write("cut.jsonl", "{\"image\": \"a.jpg\"}\n{\"image\" \"b.jpg\"}\n");
    folder.write("no_column.csv", "path,id\na.jpg,1\n");
    folder.write("no_picture.json", R"([{"img": "a.jpg"}])");
    folder.write("manifest.xml", "<x/>");
    const auto refused = [&](const char* file) {
        return refusal(settings_for({"manifest:" + (folder.path() / file).string()}));
    };
    EXPECT_NE(refused("cut.json").find("cut.json: not JSON"), std::string::npos);
    EXPECT_NE(refused("cut.jsonl").find("line 2"), std::string::npos);
    EXPECT_NE(refused("no_column.csv").find("there are path, id"), std::string::npos);
    EXPECT_NE(refused("no_picture.json").find("manifest_field"), std::string::npos);
    EXPECT_NE(refused("manifest.xml").find(".jsonl"), std::string::npos);
    EXPECT_NE(refused("gone.json").find("gone.json"), std::string::npos);
}

TEST(list_sources, keeps_equal_paths_of_two_sources_apart_by_name) {
    const ScratchFolder one, two;
    one.write("x.jpg", "1");
    two.write("x.jpg", "2");
    EXPECT_NE(refusal(settings_for({one.path(), two.path()})).find("'x.jpg' is two pictures"), std::string::npos);
    const auto listing =
        list_sources(settings_for({"first=folder:" + one.path().string(), "second=" + two.path().string()}));
    EXPECT_EQ(uris_of(listing), (Uris{"first/x.jpg", "second/x.jpg"}));
    const pool::PictureFiles files(listing.containers());
    EXPECT_EQ(files.read(listing.pictures()[1], 10), (std::vector<std::byte>{std::byte{'2'}}));
}

TEST(list_sources, names_what_is_wrong_with_the_setting) {
    const ScratchFolder empty;
    EXPECT_NE(refusal(settings_for({})).find("sources is empty"), std::string::npos);
    EXPECT_NE(refusal(settings_for({"zip:/a.zip"})).find("folder, tar, manifest"), std::string::npos);
    EXPECT_NE(refusal(settings_for({"tar:"})).find("names no place"), std::string::npos);
    EXPECT_NE(refusal(settings_for({"/no/such/folder"})).find("/no/such/folder"), std::string::npos);
    EXPECT_NE(refusal(settings_for({empty.path()})).find("no picture"), std::string::npos);
}

TEST(ListingFile, gives_back_any_part_of_what_was_written) {
    const ScratchFolder folder;
    for (int i = 0; i < 30; ++i) folder.write("p" + std::to_string(i) + ".jpg", "x");
    const auto listing = list_sources(settings_for({"n=" + folder.path().string()}));
    listing.write(folder.path() / "out/listing.h5", "print");
    const ListingFile file(folder.path() / "out/listing.h5");
    ASSERT_EQ(file.size(), 30u);
    EXPECT_EQ(file.fingerprint(), "print");
    EXPECT_EQ(file.containers().at(0).prefix, "n/");
    std::size_t next = 0;
    for (const parallel::Slice slice : {parallel::Slice{0, 7}, parallel::Slice{7, 7}, parallel::Slice{7, 30}})
        for (const auto& picture : file.read(slice)) EXPECT_EQ(picture.uri, listing.pictures()[next++].uri);
    EXPECT_EQ(next, 30u);
}

TEST(PictureFiles, tells_a_missing_picture_from_a_missing_pool) {
    const ScratchFolder folder;
    folder.write("x.jpg", "1234");
    std::filesystem::create_directory(folder.path() / "folder.jpg");
    const pool::PictureFiles files({{pool::Container::Kind::folder, folder.path(), ""},
                                    {pool::Container::Kind::folder, folder.path() / "gone", ""}});
    const auto status = [&](const std::string& uri, std::uint64_t most = 100) {
        try {
            files.read({uri, 0, 0, 0}, most);
        } catch (const pictures::UnreadableImage& error) {
            return error.status();
        }
        return pictures::PictureStatus::usable;
    };
    EXPECT_EQ(status("x.jpg"), pictures::PictureStatus::usable);
    EXPECT_EQ(status("x.jpg", 3), pictures::PictureStatus::too_large);
    EXPECT_EQ(status("y.jpg"), pictures::PictureStatus::missing);
    EXPECT_EQ(status("folder.jpg"), pictures::PictureStatus::unreadable);
    try {
        files.read({"x.jpg", 1, 0, 0}, 100);
        FAIL();
    } catch (const pictures::UnreadableImage&) {
        FAIL() << "a pool that is gone was taken for one bad picture";
    } catch (const InputError& error) {
        EXPECT_NE(std::string_view(error.what()).find("not there any more"), std::string_view::npos);
    }
}

}  // namespace
}  // namespace tg::ingest
