#include "pinfold/script/interpreter.hpp"
