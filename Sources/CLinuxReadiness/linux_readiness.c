#include "linux_readiness.h"
