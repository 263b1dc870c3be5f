// TLS against a server of the loopback whose certificate is made here: trusted by ca_bundle, else refused in one line.
#include <httplib.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <thread>

#include "loopback.hpp"

namespace tg::llm {
namespace {

struct Certificate {
    X509* x509 = X509_new();
    EVP_PKEY* key = EVP_EC_gen("P-256");

    // For the address 127.0.0.1, signed by itself, valid from now until `lifetime_s` from now (negative: expired).
    explicit Certificate(long lifetime_s) {
        ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
        X509_set_version(x509, 2);
        X509_gmtime_adj(X509_getm_notBefore(x509), -7200);
        X509_gmtime_adj(X509_getm_notAfter(x509), lifetime_s);
        X509_set_pubkey(x509, key);
        auto* name = X509_get_subject_name(x509);
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("127.0.0.1"), -1,
                                   -1, 0);
        X509_set_issuer_name(x509, name);
        for (const auto& [id, value] :
             {std::pair{NID_subject_alt_name, "IP:127.0.0.1"}, {NID_basic_constraints, "CA:TRUE"}}) {
            auto* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value);
            X509_add_ext(x509, extension, -1);
            X509_EXTENSION_free(extension);
        }
        X509_sign(x509, key, EVP_sha256());
    }
    ~Certificate() {
        X509_free(x509);
        EVP_PKEY_free(key);
    }
    void write(const std::filesystem::path& path) const {
        auto* file = std::fopen(path.c_str(), "w");
        PEM_write_X509(file, x509);
        std::fclose(file);
    }
};

class TlsServer {
public:
    explicit TlsServer(const Certificate& certificate) : server_(certificate.x509, certificate.key) {
        server_.Post("/v1/chat/completions", [](const httplib::Request&, httplib::Response& response) {
            response.set_content(R"({"choices":[{"message":{"content":"over TLS"},"finish_reason":"stop"}],)"
                                 R"("usage":{"prompt_tokens":1,"completion_tokens":1}})",
                                 "application/json");
        });
        port_ = server_.bind_to_any_port("127.0.0.1");
        thread_ = std::thread([this] { server_.listen_after_bind(); });
        while (!server_.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ~TlsServer() {
        server_.stop();
        thread_.join();
    }
    std::string url() const { return fmt::format("https://127.0.0.1:{}/v1", port_); }

private:
    httplib::SSLServer server_;
    int port_;
    std::thread thread_;
};

std::string reason(const std::string& url, const std::filesystem::path& ca_bundle, const std::filesystem::path& journal,
                   std::string& answer) {
    auto api = test::quick_api();
    api.ca_bundle = ca_bundle;
    Engine engine({{"a", test::endpoint_at(url)}}, api, journal, 0, 1);
    engine.submit(test::question(1), {}, [&](Reply reply) { answer = reply.text; });
    try {
        engine.run({});
    } catch (const EndpointError& e) {
        return e.what();
    }
    return {};
}

}  // namespace

TEST(tls, trusts_the_certificates_that_were_named_and_no_others) {
    test::TemporaryFolder folder;
    const Certificate certificate(3600);
    certificate.write(folder / "ca.pem");
    TlsServer server(certificate);
    std::string answer;
    EXPECT_EQ(reason(server.url(), folder / "ca.pem", folder / "j1", answer), "");
    EXPECT_EQ(answer, "over TLS");
    EXPECT_THAT(reason(server.url(), {}, folder / "j2", answer),
                testing::AllOf(testing::HasSubstr("certificate"), testing::HasSubstr("api.ca_bundle")));
}

TEST(tls, stops_at_an_expired_certificate) {
    test::TemporaryFolder folder;
    const Certificate certificate(-3600);
    certificate.write(folder / "ca.pem");
    TlsServer server(certificate);
    std::string answer;
    EXPECT_THAT(reason(server.url(), folder / "ca.pem", folder / "j", answer), testing::HasSubstr("expired"));
}

}  // namespace tg::llm
