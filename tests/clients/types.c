/* A program for each type on hiredis: types <port> */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static redisContext* client;

#define CHECK(condition)                                      \
  do {                                                        \
    if (!(condition)) {                                       \
      fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
      exit(1);                                                \
    }                                                         \
  } while (0)

/* Appends a reply as words: "a b (nil) 3". */
static void append(char* out, size_t size, const redisReply* reply) {
  size_t used = strlen(out);
  if (reply->type == REDIS_REPLY_ARRAY) {
    for (size_t i = 0; i < reply->elements; i++) append(out, size, reply->element[i]);
  } else if (reply->type == REDIS_REPLY_INTEGER) {
    snprintf(out + used, size - used, "%s%lld", used ? " " : "", reply->integer);
  } else {
    snprintf(out + used, size - used, "%s%s", used ? " " : "", reply->type == REDIS_REPLY_NIL ? "(nil)" : reply->str);
  }
}

static void expect_reply(int line, redisReply* reply, const char* words) {
  char found[1000] = "";
  if (reply != NULL) append(found, sizeof found, reply);
  if (reply == NULL || strcmp(found, words) != 0) {
    fprintf(stderr, "line %d: %s\n", line, found);
    exit(1);
  }
  freeReplyObject(reply);
}

#define EXPECT(command, words) expect_reply(__LINE__, redisCommand(client, command), words)

static void scan(const char* command, size_t expected) {
  char cursor[32] = "0";
  size_t found = 0;
  do {
    redisReply* reply = redisCommand(client, command, cursor);
    CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == 2);
    found += reply->element[1]->elements;
    snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
    freeReplyObject(reply);
  } while (strcmp(cursor, "0") != 0);
  CHECK(found == expected);
}

int main(int argc, char** argv) {
  CHECK(argc > 1);
  client = redisConnect("127.0.0.1", atoi(argv[1]));
  CHECK(client != NULL && client->err == 0);
  EXPECT("FLUSHALL", "OK");

  EXPECT("HSET h name Ada visits 1", "2");
  EXPECT("HMGET h visits none name", "1 (nil) Ada");
  EXPECT("HINCRBYFLOAT h visits 1.5", "2.5");
  EXPECT("HGETALL h", "name Ada visits 2.5");
  EXPECT("RPUSH l a b c d", "4");
  EXPECT("LRANGE l 1 -1", "b c d");
  EXPECT("LMPOP 2 none l RIGHT COUNT 2", "l d c");
  EXPECT("BLPOP none l 1", "l a");
  EXPECT("BLPOP none 0.05", "(nil)");
  EXPECT("SADD s a b c", "3");
  EXPECT("SMISMEMBER s a x", "1 0");
  EXPECT("SORT s ALPHA DESC", "c b a");
  EXPECT("ZADD z 3 ada 1.5 grace", "2");
  EXPECT("ZRANGE z 0 -1 WITHSCORES", "grace 1.5 ada 3");
  EXPECT("ZREVRANK z ada WITHSCORE", "0 3");
  EXPECT("BZPOPMIN z 1", "z grace 1.5");
  EXPECT("PFADD p a b c", "1");
  EXPECT("PFCOUNT p", "3");
  EXPECT("GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", "2");
  EXPECT("GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHDIST", "Catania 56.4413 Palermo 190.4424");
  EXPECT("LPUSH h x", "WRONGTYPE Operation against a key holding the wrong kind of value");

  /* A pipeline, then scans of what it made. */
  for (int i = 0; i < 3000; i++) {
    redisAppendCommand(client, "HSET large field:%d %d", i, i);
    redisAppendCommand(client, "SADD numbers %d", i);
    redisAppendCommand(client, "ZADD scores %d member:%d", i, i);
  }
  for (int i = 0; i < 3 * 3000; i++) {
    void* reply = NULL;
    CHECK(redisGetReply(client, &reply) == REDIS_OK && ((redisReply*)reply)->integer == 1);
    freeReplyObject(reply);
  }
  scan("HSCAN large %s COUNT 100", 2 * 3000);
  scan("SSCAN numbers %s COUNT 100", 3000);
  scan("ZSCAN scores %s COUNT 100", 2 * 3000);
  redisFree(client);
  puts("types ok");
  return 0;
}
