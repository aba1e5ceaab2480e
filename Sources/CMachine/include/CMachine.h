#pragma once

// Constants that Debian 12's headers lack, and the few things that Swift cannot say.

#include "crash.h"
#include "parts.h"
