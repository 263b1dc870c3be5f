# One static library a room. tg_room(NAME SOURCES a.cpp ... [TORCH_SOURCES b.cpp ...] USES tg_x lib ...) makes tg_NAME
# from src/NAME with public headers under include/taskgalaxy/NAME (of nn/kernels: tg_kernels, from src/nn/kernels);
# private headers beside the sources are seen by this room alone. TORCH_SOURCES are those that include libtorch,
# directly or through another header.
add_library(tg_options INTERFACE)
target_compile_options(tg_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Winvalid-pch
  -Wno-missing-field-initializers
  # GCC 12 sees overflows in std::string's own operator+ (its bug 105329), and takes what a batch includes for headers.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow -Wno-array-bounds -Wno-restrict -Wno-maybe-uninitialized
  -Wno-subobject-linkage>)

function(tg_room path)
  cmake_parse_arguments(ROOM "" "" "SOURCES;TORCH_SOURCES;USES" ${ARGN})
  cmake_path(GET path FILENAME name)
  set(target tg_${name})
  add_library(${target} STATIC ${ROOM_SOURCES})
  target_link_libraries(${target} PUBLIC ${ROOM_USES})
  set(parts ${target})
  if(ROOM_TORCH_SOURCES)
    add_library(${target}_torch OBJECT ${ROOM_TORCH_SOURCES})
    target_link_libraries(${target}_torch PRIVATE ${ROOM_USES} taskgalaxy::torch)
    target_link_libraries(${target} PUBLIC taskgalaxy::torch)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_torch>)
    tg_precompiled(${target}_torch torch)
    list(APPEND parts ${target}_torch)
  endif()
  foreach(part IN LISTS parts)
    target_include_directories(${part} PUBLIC ${PROJECT_SOURCE_DIR}/include PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${part} PRIVATE tg_options)
  endforeach()
  tg_precompiled(${target} plain)
endfunction()

# Headers that cost more than a second each to parse (libtorch 35 s, nlohmann::json 5 s, googletest 2 s) are parsed
# once, in one of three sets: plain, torch, test. Sources include what they use all the same.
set(TG_PRECOMPILED_plain <algorithm> <chrono> <filesystem> <fstream> <functional> <map> <memory> <optional> <string>
  <string_view> <thread> <vector> <fmt/format.h> <nlohmann/json.hpp>)
set(TG_PRECOMPILED_torch ${PROJECT_SOURCE_DIR}/include/taskgalaxy/nn/layers/torch.hpp ${TG_PRECOMPILED_plain})
set(TG_PRECOMPILED_test <gtest/gtest.h> <gmock/gmock.h> ${TG_PRECOMPILED_plain})

function(tg_precompiled target kind)
  set(carrier tg_precompiled_${kind})
  if(NOT TARGET ${carrier})
    file(WRITE ${CMAKE_BINARY_DIR}/${carrier}.cpp "// carries the precompiled headers\n")
    add_library(${carrier} STATIC ${CMAKE_BINARY_DIR}/${carrier}.cpp)
    target_include_directories(${carrier} PRIVATE ${PROJECT_SOURCE_DIR}/include)
    target_link_libraries(${carrier} PRIVATE fmt::fmt nlohmann_json::nlohmann_json Threads::Threads tg_options)
    if(kind STREQUAL torch)
      target_link_libraries(${carrier} PRIVATE taskgalaxy::torch)
      target_compile_options(${carrier} PRIVATE -fopenmp)
    elseif(kind STREQUAL test)
      target_link_libraries(${carrier} PRIVATE GTest::gtest GTest::gmock)
      tg_test_options(${carrier})
    endif()
    target_precompile_headers(${carrier} PRIVATE ${TG_PRECOMPILED_${kind}})
  endif()
  if(kind STREQUAL torch)
    target_compile_options(${target} PRIVATE -fopenmp)  # without it torch's headers make at::parallel_for a plain loop
  endif()
  # Executables are compiled with -fPIE by default, which refuses a header compiled with -fPIC.
  target_compile_options(${target} PRIVATE -fPIC)
  target_precompile_headers(${target} REUSE_FROM ${carrier})
endfunction()

# What tests time is the library, not themselves: they are compiled quickly.
function(tg_test_options target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O0>)
endfunction()
