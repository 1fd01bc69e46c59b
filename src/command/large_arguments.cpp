#include "pinfold/command/large_arguments.hpp"

namespace pinfold::command {

// The one place where the memory of an argument that arrives is taken.
ReceivedBlob ReceivedBlob::allocate(store::Keyspace& keyspace, std::size_t size) {
  ReceivedBlob received;
  received.blob_ = Blob::allocate(size, size);
  if (!received.blob_) return received;
  received.memory_ = &keyspace.memory();
  received.memory_->add(store::Use::blobs, static_cast<std::int64_t>(received.blob_.memory()));
  return received;
}

std::size_t LargeArguments::bytes() const {
  std::size_t sum = 0;
  for (const Argument& argument : arguments_) sum += argument.blob.view().size();
  return sum;
}

void LargeArguments::refuse() {
  refused_ = true;
  for (Argument& argument : arguments_) argument.blob = {};
}

Blob LargeArguments::take(std::size_t index) {
  for (Argument& argument : arguments_) {
    if (argument.index == index) return argument.blob.release();
  }
  return {};
}

}  // namespace pinfold::command
