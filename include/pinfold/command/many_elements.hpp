#pragma once
// Writes of very many elements of one collection: HSET, SADD, ZREM and their like with a thousand arguments and more.
//
// To find and change an element of a large collection takes a microsecond or more, so a hundred thousand of them would keep the shard of
// their key locked for a tenth of a second. A task changes a copy instead, a few elements at a time and with nothing locked
// (types/draft.hpp). Then it puts the copy in the place of the collection, if nobody has written that meanwhile. So the command is executed
// at one moment, as each is.
//
// If somebody has written, the task finds out which elements (types/others_changes.hpp), makes them in its copy what they are now, and
// executes the command once more for those of them that it names. That takes much less time than before, and fewer are written meanwhile,
// so it comes to an end. If a whole range has been written, or it is a list, the task begins again. After a few tries in vain, and if there
// is no memory for a copy, it does all with the key locked, as if there were few elements.
//
// Inside EXEC and scripts, which have locked their keys, all is done at once.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "pinfold/command/call.hpp"
#include "pinfold/command/gradual_sort.hpp"
#include "pinfold/command/queued.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/store/gradual_room.hpp"
#include "pinfold/types/draft.hpp"
#include "pinfold/types/others_changes.hpp"

namespace pinfold::command {

/// Up to so many elements are written with their key locked, if each has to be found.
constexpr std::size_t most_written_at_once = 1024;

/// Some arguments of a request, which are applied to a draft.
struct ElementSlice {
  std::size_t first;      // the index of the first one
  std::size_t count;      // arguments, which are whole elements
  std::size_t announced;  // arguments of all slices, in the first slice; 0 in others
  types::Draft& draft;
};

/// A command that writes elements of the collection under its first argument. What it does with an element must not depend on others.
struct ElementsWrite {
  store::Type type;
  std::size_t words;    // arguments that make up an element: 2 for a field and its value
  std::size_t name;     // which of these is the field or member
  std::size_t at_once;  // so many elements are written at once with their key locked
  /// Executes the command at once.
  Outcome (*whole)(Call& call);
  /// Whether `count` arguments from `first` on are what they should be. If not, it has replied the error. Null: they always are.
  bool (*check)(Call& call, std::size_t first, std::size_t count);
  /// Changes the draft, and sets `counted` to what the command counts of these elements. The call has the arguments and the key. Nothing is
  /// locked. If it is refused with Stored::needs_room, nothing has been done; after another refusal the draft is dropped.
  store::Stored (*apply)(Call& call, const ElementSlice& slice, std::uint64_t& counted);
  /// Replies what was counted.
  Outcome (*reply)(Call& call, std::uint64_t counted);
};

/// Executes the command, whose elements are the arguments from `first` on: at once if they are few, otherwise by a task.
Outcome write_elements(Call& call, const ElementsWrite& what, std::size_t first);

/// The task. Keeps a copy of the request. `what` must outlive it.
class ManyElementsTask : public Task {
 public:
  ManyElementsTask(Call& call, const ElementsWrite& what, std::size_t first);
  /// Executes the command by `task`, or at once if clients may not take the memory for the copy of the request.
  static Outcome begin(Call& call, std::unique_ptr<ManyElementsTask> task);
  Outcome step(Call& outer) final;
  std::uint64_t pinned() const override { return store::memory_of_pin(draft_.pin()); }
  std::uint64_t loose() const override { return store::loose_memory_of_pin(draft_.pin()); }

 protected:
  /// The arguments that are elements.
  Args elements() const { return Args(args_).subspan(first_); }
  /// Replies when all has been done, with nothing locked. What step() returns.
  virtual Outcome answer(Call& call) { return what_.reply(call, counted_); }
  /// The collection as it was before, for answer(). Nothing if there was none.
  std::optional<store::Value> before() const { return draft_.before(); }

 private:
  struct Name {
    std::uint64_t hash;
    std::size_t at;  // the first argument of the element
    auto operator<=>(const Name&) const = default;
  };
  enum class Stage : std::uint8_t { check, look, apply, store, sort_names, compare, follow, answer, whole };
  // `stage`: the next stage begins. `ended`: the reply is complete, but for stage answer.
  enum class Progress : std::uint8_t { more, stage, ended };

  Progress go_on(Call& call, std::int64_t end_us);
  Progress begin_stage(Stage stage) {
    stage_ = stage;
    at_ = 0;
    return Progress::stage;
  }
  Progress check(Call& call, std::int64_t end_us);
  Progress look(Call& call);
  Progress look_again(const std::optional<store::Value>& value);
  Progress apply(Call& call, std::int64_t end_us);
  Progress store(Call& call);
  bool may_ask_for(store::Stored refused);
  Progress look_for_others(Call& call);
  Progress meet_others(const std::optional<store::Value>& value);
  Progress sort_names(std::int64_t end_us);
  Progress compare(std::int64_t end_us);
  Progress follow(Call& call, std::int64_t end_us);
  store::Stored follow(Call& call, const types::OthersChanges::Change& change);
  std::vector<std::string_view> words_for(std::uint64_t hash, std::string_view name) const;
  Progress run_whole(Call& call, std::int64_t end_us);
  Progress give_up();
  std::size_t slice_at(std::size_t at) const;

  const ElementsWrite& what_;
  const std::size_t first_;
  ClientMemory memory_;
  std::optional<Queued> request_;
  std::vector<std::string_view> args_;  // of request_
  Stage stage_ = Stage::check;
  std::size_t at_ = 0;  // the next argument, or what this stage goes through
  types::Draft draft_;
  std::size_t applied_ = 0;  // the next argument to be applied to it
  unsigned slices_ = 0;      // that have been applied
  store::GradualRoom room_;
  std::uint64_t lacks_ = 0;  // bytes of room that the next slice, or the whole command, has asked for
  std::uint64_t counted_ = 0;
  unsigned tries_ = 0;
  // What others have written.
  unsigned rounds_ = 0;           // how often they have written since all was applied
  store::OwnedHandle successor_;  // the collection after their writes
  std::unique_ptr<types::OthersChanges> others_;
  std::uint64_t others_memory_ = 0;
  std::vector<Name> names_;  // of the request, in order
  std::optional<GradualSort<Name, std::less<>>> sorting_;
};

}  // namespace pinfold::command
