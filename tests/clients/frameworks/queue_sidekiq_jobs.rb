# What the workers of queue_sidekiq.rb do: they count what ran in a list.
require "sidekiq"

Redis.sadd_returns_boolean = false  # else redis-rb warns at each job

url = "redis://127.0.0.1:#{ENV.fetch("QUEUE_PORT")}/3"
Sidekiq.configure_client { |config| config.redis = { url: url } }
Sidekiq.configure_server do |config|
  config.redis = { url: url }
  config.options[:poll_interval_average] = 0.2
end
Sidekiq.logger.level = Logger::FATAL

def ran(what)
  Sidekiq.redis { |redis| redis.rpush("ran", what) }
end

class Add
  include Sidekiq::Worker
  def perform(first, second)
    ran("add #{first + second}")
  end
end

class Urgent
  include Sidekiq::Worker
  sidekiq_options queue: "critical"
  def perform
    ran("urgent")
  end
end

class Flaky
  include Sidekiq::Worker
  sidekiq_options retry: 5
  sidekiq_retry_in { 0 }
  def perform
    tries = Sidekiq.redis { |redis| redis.incr("tries") }
    raise "no such order" if tries < 2

    ran("flaky #{tries}")
  end
end

class Failing
  include Sidekiq::Worker
  sidekiq_options retry: 0
  def perform
    raise "never"
  end
end
