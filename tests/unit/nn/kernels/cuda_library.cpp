#include "taskgalaxy/nn/kernels/cuda_library.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tg::kernels {
namespace {

TEST(cuda_library, opens_where_it_was_built_and_says_what_it_lacks) {
    const auto opened = open_cuda_kernels();
#if TG_CUDA_KERNELS
    ASSERT_NE(opened.kernels, nullptr) << opened.why_not;
    EXPECT_EQ(opened.kernels->version, cuda_kernels_version);
    int count = 0;
    if (const int error = opened.kernels->devices(&count)) {
        EXPECT_THAT(opened.kernels->error_text(error),
                    testing::AnyOf(testing::HasSubstr("driver"), testing::HasSubstr("no CUDA-capable device")));
    } else {
        EXPECT_GT(count, 0);
    }
#else
    EXPECT_EQ(opened.kernels, nullptr);
    EXPECT_THAT(opened.why_not, testing::HasSubstr("libtaskgalaxy_kernels_cuda.so"));
#endif
}

TEST(cuda_library, of_another_version_is_not_used) {
#if TG_CUDA_KERNELS
    const auto opened = open_cuda_kernels(cuda_kernels_version + 1);
    EXPECT_EQ(opened.kernels, nullptr);
    EXPECT_THAT(opened.why_not, testing::HasSubstr("is not of version"));
#else
    GTEST_SKIP() << "there was no nvcc to build it";
#endif
}

}  // namespace
}  // namespace tg::kernels
