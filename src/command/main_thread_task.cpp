#include "pinfold/command/main_thread_task.hpp"

#include <new>
#include <utility>

#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/request_log.hpp"

namespace pinfold::command {

MainThreadTask::MainThreadTask(const Call& call, AuditLog::Kind kind, Work work, std::string error_prefix)
    : request_(describe_request(call)),
      audited_(remember_for_audit(call)),
      logged_((call.row.flags & kLogged) != 0),
      kind_(kind),
      work_(std::move(work)),
      error_prefix_(std::move(error_prefix)) {}

Outcome MainThreadTask::step(Call& call) {
  if (result_ == nullptr) begin(call);
  if (!result_->done.load(std::memory_order_acquire)) {
    asleep = true;
    return Outcome::waits;
  }
  return result_->error ? call.reply.error(error_prefix_ + *result_->error) : call.reply.ok();
}

void MainThreadTask::begin(Call& call) {
  irrevocable = true;
  result_ = std::make_shared<Result>();
  const auto run = [result = result_, &engine = call.engine, client = call.session.shared.place(), request = request_, audited = audited_,
                    logged = logged_, kind = kind_, work = std::move(work_)] {
    try {
      result->error = work(engine);
    } catch (const std::bad_alloc&) {
      result->error = "out of memory";
    }
    if (!logged || result->error) note_outcome(engine, request, result->error);  // here, as the client may have gone
    const auto source = audited ? AuditLog::Source{.user = audited->user, .address = audited->address} : AuditLog::Source();
    engine.audit.note(kind, source, result->error ? AuditLog::Repeated::yes : AuditLog::Repeated::no, [&](AuditLine& line) {
      if (audited) add_request(line, *audited);
      line.add("result", result->error ? std::string_view(*result->error) : std::string_view("done"));
    });
    result->done.store(true, std::memory_order_release);
    engine.clients.wake_task(client);
  };
  if (call.engine.on_main_thread) {
    call.engine.on_main_thread(run);
  } else {
    run();
  }
}

}  // namespace pinfold::command
