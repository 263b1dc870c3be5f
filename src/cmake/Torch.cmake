# libtorch as one hand-written imported target, `taskgalaxy::torch`. The CMake package inside the torch wheel refuses to
# configure without a CUDA toolkit; linking the libraries directly needs none: the headers of CUDA and NCCL come with
# the wheels.
set(TG_PYTHON_DIR ${PROJECT_SOURCE_DIR}/.deps/python)
set(TG_TORCH_CANDIDATES ${TORCH_DIR})
foreach(prefix IN LISTS CMAKE_PREFIX_PATH)
  list(APPEND TG_TORCH_CANDIDATES ${prefix} ${prefix}/../..)  # a prefix of share/cmake/Torch style, or libtorch itself
endforeach()
list(APPEND TG_TORCH_CANDIDATES ${TG_PYTHON_DIR}/torch)

find_path(TG_TORCH_ROOT include/torch/csrc/api/include/torch/torch.h PATHS ${TG_TORCH_CANDIDATES}
  NO_DEFAULT_PATH NO_CACHE)
if(NOT TG_TORCH_ROOT)
  message(FATAL_ERROR "libtorch not found; run jobs/setup.sh, or give -DTORCH_DIR=/path/to/libtorch "
    "(looked in: ${TG_TORCH_CANDIDATES})")
endif()
message(STATUS "libtorch: ${TG_TORCH_ROOT}")

add_library(taskgalaxy_torch INTERFACE)
add_library(taskgalaxy::torch ALIAS taskgalaxy_torch)
# After the system's folders: the wheel brings a newer fmt, whose headers would not fit the fmt library that the rooms
# link.
target_compile_options(taskgalaxy_torch INTERFACE "SHELL:-idirafter ${TG_TORCH_ROOT}/include"
  "SHELL:-idirafter ${TG_TORCH_ROOT}/include/torch/csrc/api/include")
target_link_directories(taskgalaxy_torch INTERFACE ${TG_TORCH_ROOT}/lib)
# The C++ library comes first, and by name: libtorch.so exports an older std::filesystem of its own, half of which is
# null.
target_link_libraries(taskgalaxy_torch INTERFACE -Wl,--no-as-needed stdc++ -Wl,--as-needed
  torch torch_cpu c10 Threads::Threads)
# The very OpenMP runtime that this libtorch uses, whatever its file is called: another one would not know that we are
# inside a region.
file(GLOB TG_TORCH_GOMP ${TG_TORCH_ROOT}/lib/libgomp*.so*)
if(TG_TORCH_GOMP)
  list(GET TG_TORCH_GOMP 0 TG_TORCH_GOMP)
else()
  set(TG_TORCH_GOMP gomp)
endif()
target_link_libraries(taskgalaxy_torch INTERFACE ${TG_TORCH_GOMP})

# CUDA and NCCL, where this libtorch has them. The libraries carry $ORIGIN-relative paths to each other inside the
# wheel's tree.
if(EXISTS ${TG_TORCH_ROOT}/lib/libtorch_cuda.so)
  file(GLOB TG_CUDA_INCLUDES ${TG_TORCH_ROOT}/../nvidia/cu*/include)
  find_path(TG_CUDA_INCLUDE cuda_runtime_api.h PATHS ${TG_CUDA_INCLUDES} /usr/local/cuda/include)
  find_path(TG_NCCL_INCLUDE nccl.h PATHS ${TG_TORCH_ROOT}/../nvidia/nccl/include /usr/local/cuda/include)
  file(GLOB TG_CUDA_LIBRARY_FOLDERS ${TG_TORCH_ROOT}/../nvidia/cu*/lib)
  find_library(TG_CUDART NAMES libcudart.so.13 libcudart.so.12 cudart
    PATHS ${TG_CUDA_LIBRARY_FOLDERS} ${TG_TORCH_ROOT}/../nvidia/cuda_runtime/lib /usr/local/cuda/lib64)
  find_library(TG_NCCL NAMES libnccl.so.2 nccl PATHS ${TG_TORCH_ROOT}/../nvidia/nccl/lib /usr/local/cuda/lib64)
  if(TG_CUDA_INCLUDE AND TG_NCCL_INCLUDE AND TG_CUDART AND TG_NCCL)
    set(TG_WITH_CUDA ON)
    target_compile_definitions(taskgalaxy_torch INTERFACE TASKGALAXY_WITH_CUDA=1)
    target_include_directories(taskgalaxy_torch SYSTEM INTERFACE ${TG_CUDA_INCLUDE} ${TG_NCCL_INCLUDE})
    # torch_cuda itself is loaded at run time (src/nn/layers/device.cpp), where there is a driver.
    target_link_libraries(taskgalaxy_torch INTERFACE c10_cuda ${TG_NCCL} ${TG_CUDART})
    cmake_path(GET TG_NCCL PARENT_PATH TG_NCCL_FOLDER)
    cmake_path(GET TG_CUDART PARENT_PATH TG_CUDART_FOLDER)
  endif()
endif()
message(STATUS "libtorch with CUDA: ${TG_WITH_CUDA}")

set(TG_CUDA_KERNELS_FOLDER ${PROJECT_BINARY_DIR}/lib)  # of src/cmake/Cuda.cmake
set(CMAKE_BUILD_RPATH ${TG_TORCH_ROOT}/lib ${TG_CUDA_KERNELS_FOLDER})
set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib;${TG_TORCH_ROOT}/lib" ${TG_NCCL_FOLDER} ${TG_CUDART_FOLDER})
