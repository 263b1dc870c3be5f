// The one thing of EXIF that matters here: which way is up.
#pragma once

#include "row_reader.hpp"

namespace tg::pictures {

// Tag 0x0112 of a JPEG's first EXIF segment, 1..8; 1 where there is none or it makes no sense.
int jpeg_orientation(Bytes jpeg);
// Whether an orientation swaps width and height.
inline bool turns_sides(int orientation) { return orientation >= 5 && orientation <= 8; }
// As Pillow's ImageOps.exif_transpose.
Image turned_upright(Image image, int orientation);

}  // namespace tg::pictures
