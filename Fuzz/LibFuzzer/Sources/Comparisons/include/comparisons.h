#pragma once
#include <stdbool.h>

/// Whether libFuzzer notes what is compared with what. It does unless told otherwise.
void noteComparisons(bool are);
