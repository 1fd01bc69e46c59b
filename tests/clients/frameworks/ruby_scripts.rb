# Scripts as redis-rb sends them: ruby_scripts.rb <port> <protocol>
require 'digest'
require 'redis'

def check(right, what)
  abort "wrong: #{what}" unless right
end

client = Redis.new(port: Integer(ARGV[0]))
client.flushall
client.script(:flush)
text = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
sha = client.script(:load, text)
check sha == Digest::SHA1.hexdigest(text), 'load'
check client.script(:exists, [sha, 'a' * 40]) == [true, false], 'exists'
client.set('lock', 'token')
check client.eval(text, ['lock'], ['other']).zero?, 'another token'
check client.evalsha(sha, keys: ['lock'], argv: ['token']) == 1, 'the token'
check client.eval('return {1, {ARGV[1]}, false, "x"}', [], ['a']) == [1, ['a'], nil, 'x'], 'values'
check client.pipelined { |pipeline| pipeline.set('lock', 't'); pipeline.evalsha(sha, ['lock'], ['t']) } == ['OK', 1], 'pipeline'
begin
  client.evalsha('a' * 40)
  check false, 'no error'
rescue Redis::CommandError => e
  check e.message.start_with?('NOSCRIPT'), e.message
end
puts 'scripts ok'
