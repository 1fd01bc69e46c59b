# A program for each type on ruby-redis: types.rb <port>
require "redis"

Redis.sadd_returns_boolean = false
CLIENT = Redis.new(port: ARGV[0].to_i)
CLIENT.flushall

def same(found, expected)
  abort "#{caller(1, 1)}: #{found.inspect}" unless found == expected
end

same CLIENT.hset("h", { "name" => "Ada", "visits" => 1 }), 2
same CLIENT.hgetall("h"), { "name" => "Ada", "visits" => "1" }
same CLIENT.mapped_hmget("h", "visits", "none"), { "visits" => "1", "none" => nil }
same CLIENT.hincrbyfloat("h", "part", 1.5), 1.5
CLIENT.mapped_hmset("large", (0...2000).to_h { |n| ["field:#{n}", n.to_s] })
same CLIENT.hscan_each("large", count: 200).to_a.uniq.size, 2000

same CLIENT.rpush("l", %w[a b c d]), 4
same CLIENT.lrange("l", 1, -1), %w[b c d]
same CLIENT.lmove("l", "m", "LEFT", "RIGHT"), "a"
same CLIENT.brpop("none", "l", timeout: 1), %w[l d]
same CLIENT.blpop("none", timeout: 1), nil
same CLIENT.lpos("l", "c"), 1

same CLIENT.sadd("s", %w[a b c]), 3
same CLIENT.sadd("t", %w[b c d]), 3
same CLIENT.sinter("s", "t").sort, %w[b c]
same CLIENT.smismember("s", "a", "x"), [true, false]
same CLIENT.sscan_each("s").to_a.sort, %w[a b c]

same CLIENT.zadd("z", [[3, "ada"], [1.5, "grace"]]), 2
same CLIENT.zrange("z", 0, -1, with_scores: true), [["grace", 1.5], ["ada", 3.0]]
same CLIENT.zadd("z", 4, "ada", gt: true, ch: true), true
same CLIENT.zscan_each("z").to_a.sort, [["ada", 4.0], ["grace", 1.5]]
same CLIENT.zrevrangebyscore("z", "+inf", "-inf", limit: [0, 1]), ["ada"]
same CLIENT.zpopmin("z"), ["grace", 1.5]
same CLIENT.bzpopmax("z", timeout: 1), ["z", "ada", 4.0]

same CLIENT.pfadd("p", %w[a b c]), true
same CLIENT.pfcount("p"), 3
same CLIENT.geoadd("g", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"), 2
same CLIENT.geodist("g", "Palermo", "Catania", "km"), "166.2742"
same CLIENT.georadius("g", 15, 37, 200, "km", "ASC"), %w[Catania Palermo]

# Several clients wait; each element goes to one of them.
taken = Queue.new
workers = 3.times.map do
  Thread.new do
    mine = Redis.new(port: ARGV[0].to_i)
    while (element = mine.blpop("urgent", "jobs", timeout: 30)[1]) != "stop"
      taken << element.to_i
    end
  end
end
CLIENT.pipelined { |pipeline| 200.times { |n| pipeline.rpush("jobs", n) } }
sleep 0.005 while CLIENT.exists?("jobs")
CLIENT.rpush("urgent", %w[stop stop stop])
workers.each(&:join)
same taken.size.times.map { taken.pop }.sort, (0...200).to_a

same CLIENT.multi { |t| t.hset("h2", "a", 1); t.hgetall("h2"); t.lpush("l2", "x"); t.smembers("none") }, [1, { "a" => "1" }, 1, []]
same CLIENT.sort("t", order: "DESC ALPHA"), %w[d c b]
same CLIENT.scan_each(type: "zset").to_a, ["g"]
puts "types ok"
