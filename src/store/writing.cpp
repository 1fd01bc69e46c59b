#include "pinfold/store/writing.hpp"

#include "pinfold/store/table.hpp"

namespace pinfold::store {

void Writing::drop() { drop_from_->remove(key_, dropped_as_, now_); }

}  // namespace pinfold::store
