#include "taskgalaxy/report/settings.hpp"

namespace tg::report {

void ReportSettings::describe(SettingsVisitor& v) {
    v.option("title", &title, "heading of the page; default: the run directory's name");
    v.option("ground_truth",
             choice(&ground_truth,
                    {{"auto", TruthSource::automatic}, {"none", TruthSource::none}, {"folder", TruthSource::folder}}),
             "what is known about the pictures: none; folder (each lies in a folder of [ground_truth] pictures that "
             "says what it shows); auto: folder where that is set");
    v.option("held_out", &held_out,
             "text file of uris, one a line, that matching is measured on (with ground_truth); default: all pictures");
    v.option("gallery", &gallery, "samples shown with their pictures, kept and rejected each", between(0, 400));
    v.option("picture_side", &picture_side, "longest side of a shown picture in pixels", between(32, 1024));
    v.option("jpeg_quality", &jpeg_quality, "of shown pictures", between(1, 100));
    v.option("seed", &seed, "which samples are drawn for the gallery");
}

}  // namespace tg::report
