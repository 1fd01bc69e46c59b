# Cache-aside with leases, on redis-rb: cache_aside.rb [port]
require "json"
require "redis"

# WAIT has to end before the client gives up reading. A connection per thread, as one that waits sends nothing else.
WAIT_MS, FRESH_MS, STALE_MS = 2_000, 60_000, 600_000
def cache
  Thread.current[:cache] ||= Redis.new(port: (ARGV[0] || 6379).to_i, read_timeout: 5)
end

# The value of the key, or nil where the block finds none. The block runs once, however many ask.
def read_through(key, &load)
  status, value, token, ms = cache.call("CACHE.GET", key, "WAIT", WAIT_MS)
  if status == "miss"
    raise "retry within #{ms} ms" if token.zero? # answer 503, do not go to the database

    return fill(key, token, &load)
  end
  # Stale, or soon to be: refresh it behind the caller's back.
  Thread.new { fill(key, token, &load) } if token.positive?
  status == "absent" ? nil : JSON.parse(value)
end

def fill(key, token)
  begin
    value = yield
  rescue StandardError
    cache.call("CACHE.RELEASE", key, token, "RETRY", 1_000)
    raise
  end
  if value.nil?
    cache.call("CACHE.ABSENT", key, "TOKEN", token, "PX", 30_000)
  else # nil if somebody wrote meanwhile: then this value is for this caller only
    cache.call("CACHE.SET", key, JSON.generate(value), "TOKEN", token, "PX", FRESH_MS, "STALE", STALE_MS)
  end
  value
end

DATABASE = { "user:1" => "Ada", "user:2" => "" }
loads = 0
load = lambda do |key|
  row = DATABASE[key]
  loads += 1
  sleep 0.2
  row
end

cache.del("user:1", "user:2", "user:3")
found = Array.new(50) { Thread.new { read_through("user:1") { load["user:1"] } } }.map(&:value)
puts "#{found.size} readers, #{loads} load, #{found.count('Ada')} answers"
cache.del("user:1")
reader = Thread.new { read_through("user:1") { load["user:1"] } }
sleep 0.001 while loads < 2 # until the reader has the old row in its hands
DATABASE["user:1"] = "Grace" # commit first,
cache.del("user:1") # then invalidate: this voids the reader's token
puts "the reader got #{reader.value}, the next one #{read_through('user:1') { load['user:1'] }}"
puts "nobody: #{read_through('user:3') { load['user:3'] }.inspect}, empty: #{read_through('user:2') { load['user:2'] }.inspect}"
