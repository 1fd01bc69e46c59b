# A cache-aside program on ruby-redis: cache_aside.rb <port> <protocol>, over TLS with the files in PINFOLD_TLS_CA, _CERT and _KEY
require "json"
require "openssl"
require "redis"

def check(what, condition)
  abort "failed: #{what}" unless condition
end

def connect
  ca, cert, key = %w[CA CERT KEY].map { |what| ENV["PINFOLD_TLS_#{what}"] }
  return Redis.new(port: ARGV[0].to_i) unless ca

  params = { ca_file: ca }
  params.update(cert: OpenSSL::X509::Certificate.new(File.read(cert)), key: OpenSSL::PKey.read(File.read(key))) if cert
  Redis.new(port: ARGV[0].to_i, ssl: true, ssl_params: params)
end

CLIENT = connect
CLIENT.flushall
$loads = 0

def user(id)
  cached = CLIENT.get("user:#{id}")
  return cached if cached

  $loads += 1
  loaded = JSON.generate(id: id, name: "user #{id}")
  CLIENT.set("user:#{id}", loaded, ex: 60)
  loaded
end

check "miss", CLIENT.get("user:1").nil?
check "one load", user(1) == user(1) && $loads == 1
check "ttl", (1..60).cover?(CLIENT.ttl("user:1"))
check "del", CLIENT.del("user:1") == 1
user(1)
check "a second load", $loads == 2

check "multi", CLIENT.multi { |m| m.set("m", "1"); m.incr("m"); m.get("m") } == ["OK", 2, "2"]
check "pipeline", CLIENT.pipelined { |p| p.set("p", "x"); p.append("p", "y"); p.get("p") } == ["OK", 2, "xy"]
check "mset", CLIENT.mset("a", "1", "b", "2") == "OK"
check "mget", CLIENT.mget("a", "none", "b") == ["1", nil, "2"]

250.times { |i| CLIENT.set("scan:#{i}", i) }
check "scan", CLIENT.scan_each(match: "scan:*", count: 20).to_a.uniq.size == 250

check "counters", CLIENT.incrby("n", 40) == 40 && CLIENT.decr("n") == 39
check "float", CLIENT.incrbyfloat("f", 1.5) == 1.5
binary = (0..255).map(&:chr).join.b
CLIENT.set(binary, binary)
check "binary", CLIENT.get(binary).b == binary
large = "x" * (1 << 20)
CLIENT.set("large", large)
check "large", CLIENT.get("large") == large

check "lock", CLIENT.set("lock", "1", nx: true) == true
check "locked", CLIENT.set("lock", "2", nx: true) == false
check "getdel", CLIENT.getdel("lock") == "1"

CLIENT.set("text", "abc")
begin
  CLIENT.incr("text")
  abort "INCR of a text succeeded"
rescue Redis::CommandError => error
  check "its error", error.message == "ERR value is not an integer or out of range"
end
begin
  CLIENT.call("NOSUCH")
  abort "an unknown command succeeded"
rescue Redis::CommandError => error
  check "unknown command", error.message.start_with?("ERR unknown command")
end

other = connect
void = other.watch("w") do
  CLIENT.set("w", "1")
  other.multi { |m| m.get("w") }
end
check "watch", void.nil?

check "config", CLIENT.config(:get, "timeout") == { "timeout" => "0" }
check "info", CLIENT.info.key?("redis_version")
puts "cache-aside ok"
