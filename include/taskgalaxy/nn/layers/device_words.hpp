// What a job file says of where to compute and in which number format. Torch-free, for settings; layers/device.hpp
// turns it into torch's terms.
#pragma once

#include "taskgalaxy/core/settings.hpp"

namespace tg::layers {

enum class DeviceChoice { automatic, cpu, cuda };
enum class DtypeChoice { automatic, fp32, bf16 };
const Words<DeviceChoice>& device_words();  // auto, cpu, cuda
const Words<DtypeChoice>& dtype_words();    // auto, fp32, bf16

}  // namespace tg::layers
