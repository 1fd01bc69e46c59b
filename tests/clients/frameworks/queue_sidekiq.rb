# A site and its workers on Sidekiq, which keeps queues in lists, what is due later in sorted sets, and its processes in hashes: queue_sidekiq.rb <port>
ENV["QUEUE_PORT"] = ARGV[0]
require_relative "queue_sidekiq_jobs"
require "sidekiq/api"

def check(what, condition)
  abort "failed: #{what}" unless condition
end

def eventually(what)
  limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 60
  until yield
    check(what, Process.clock_gettime(Process::CLOCK_MONOTONIC) < limit)
    sleep 0.05
  end
end

def ran
  Sidekiq.redis { |redis| redis.lrange("ran", 0, -1) }
end

# Before a worker is there.
10.times { |number| Add.perform_async(number, 1) }
Sidekiq::Client.push_bulk("class" => Add, "args" => (0...100).map { |number| [number, 1000] })
Urgent.perform_async
Add.perform_in(1, 100, 0)
later = Add.perform_in(3600, 200, 0)
Flaky.perform_async
Failing.perform_async
check "queues", Sidekiq::Queue.all.map { |queue| [queue.name, queue.size] } == [["critical", 1], ["default", 112]]
check "what is due later", Sidekiq::ScheduledSet.new.map(&:args).sort == [[100, 0], [200, 0]]
check "a job of the queue", Sidekiq::Queue.new("default").find_job(Sidekiq::Queue.new("default").first.jid).klass == "Failing"
doomed = Add.perform_async(5000, 0)
Sidekiq::Queue.new("default").find_job(doomed).delete
check "a job that is taken out", Sidekiq::Queue.new("default").size == 112

command = ["sidekiq", "-r", File.join(__dir__, "queue_sidekiq_jobs.rb"), "-c", "3", "-q", "critical,3", "-q", "default", "-t", "5"]
workers = 2.times.map { Process.spawn(*command, in: File::NULL, out: File::NULL, err: File::NULL) }
begin
  eventually("all is done") { ran.size >= 113 && Sidekiq::Queue.all.sum(&:size).zero? }
  expected = (0...10).map { |number| "add #{number + 1}" } + (0...100).map { |number| "add #{number + 1000}" } + ["urgent", "flaky 2", "add 100"]
  check "each once: #{ran.sort - expected} #{expected - ran}", ran.sort == expected.sort
  eventually("processes") { Sidekiq::ProcessSet.new.size == 2 }
  eventually("figures") { Sidekiq::Stats.new.processed >= 114 && Sidekiq::Stats.new.failed == 2 }
  check "none is tried again", Sidekiq::RetrySet.new.size.zero?
  check "a job without retries is kept as dead", Sidekiq::DeadSet.new.map(&:klass) == ["Failing"]
  Sidekiq::ScheduledSet.new.find_job(later).add_to_queue
  eventually("what was due later") { ran.last == "add 200" }
ensure
  workers.each { |worker| Process.kill("TERM", worker) }
  workers.each { |worker| Process.wait(worker) }
end
check "no process is left", Sidekiq::ProcessSet.new.size.zero?
puts "queue ok"
