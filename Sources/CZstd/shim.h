// Snapshots are compressed in one call a block, with a context that is kept: zstd.h has all of it.
#pragma once
#include <zstd.h>
