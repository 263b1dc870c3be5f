// The part of libtorch that the rooms use: tensors, operators, guards. Include this instead of <torch/torch.h>, whose
// further half (modules, data loaders, optimizers) would cost each file another 5 s to compile.
#pragma once

#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/utils.h>
