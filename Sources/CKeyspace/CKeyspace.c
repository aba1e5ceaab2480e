#include "CKeyspace.h"
