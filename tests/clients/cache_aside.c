/* A cache-aside program on hiredis: cache_aside <port> <protocol> */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static redisContext* client;
static int loads;

#define CHECK(condition)                                      \
  do {                                                        \
    if (!(condition)) {                                       \
      fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
      exit(1);                                                \
    }                                                         \
  } while (0)

static void user(int id, char* out, size_t size) {
  redisReply* reply = redisCommand(client, "GET user:%d", id);
  CHECK(reply != NULL);
  if (reply->type == REDIS_REPLY_NIL) {
    loads++;
    snprintf(out, size, "{\"id\":%d,\"name\":\"user %d\"}", id, id);
    freeReplyObject(reply);
    reply = redisCommand(client, "SET user:%d %s EX 60", id, out);
    CHECK(reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0);
  } else {
    CHECK(reply->type == REDIS_REPLY_STRING);
    snprintf(out, size, "%s", reply->str);
  }
  freeReplyObject(reply);
}

static redisReply* next_reply(void) {
  void* reply = NULL;
  CHECK(redisGetReply(client, &reply) == REDIS_OK);
  return reply;
}

static void expect_integer(const char* command, long long low, long long high) {
  redisReply* reply = redisCommand(client, command);
  CHECK(reply->type == REDIS_REPLY_INTEGER && reply->integer >= low && reply->integer <= high);
  freeReplyObject(reply);
}

int main(int argc, char** argv) {
  CHECK(argc > 1);
  client = redisConnect("127.0.0.1", atoi(argv[1]));
  CHECK(client != NULL && client->err == 0);
  freeReplyObject(redisCommand(client, "FLUSHALL"));

  char first[200], second[200];
  user(1, first, sizeof first);
  user(1, second, sizeof second);
  CHECK(strcmp(first, second) == 0 && loads == 1);
  expect_integer("TTL user:1", 1, 60);
  expect_integer("DEL user:1", 1, 1);
  user(1, first, sizeof first);
  CHECK(loads == 2);

  redisAppendCommand(client, "MULTI");
  redisAppendCommand(client, "SET m 1");
  redisAppendCommand(client, "INCR m");
  redisAppendCommand(client, "EXEC");
  redisAppendCommand(client, "MSET a 1 b 2");
  redisAppendCommand(client, "MGET a none b");
  for (int i = 0; i < 3; i++) freeReplyObject(next_reply());
  redisReply* reply = next_reply();
  CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[1]->integer == 2);
  freeReplyObject(reply);
  freeReplyObject(next_reply());
  reply = next_reply();
  CHECK(reply->elements == 3 && reply->element[1]->type == REDIS_REPLY_NIL && strcmp(reply->element[2]->str, "2") == 0);
  freeReplyObject(reply);

  for (int i = 0; i < 250; i++) freeReplyObject(redisCommand(client, "SET scan:%d %d", i, i));
  char cursor[32] = "0";
  int seen = 0;
  do {
    reply = redisCommand(client, "SCAN %s MATCH scan:* COUNT 20", cursor);
    CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == 2);
    snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
    seen += (int)reply->element[1]->elements;
    freeReplyObject(reply);
  } while (strcmp(cursor, "0") != 0);
  CHECK(seen == 250);

  expect_integer("INCRBY n 40", 40, 40);
  expect_integer("DECR n", 39, 39);

  char binary[256];
  for (int i = 0; i < 256; i++) binary[i] = (char)i;
  freeReplyObject(redisCommand(client, "SET %b %b", binary, sizeof binary, binary, sizeof binary));
  reply = redisCommand(client, "GET %b", binary, sizeof binary);
  CHECK(reply->len == sizeof binary && memcmp(reply->str, binary, sizeof binary) == 0);
  freeReplyObject(reply);

  size_t size = 1 << 20;
  char* large = malloc(size);
  memset(large, 'x', size);
  freeReplyObject(redisCommand(client, "SET large %b", large, size));
  reply = redisCommand(client, "GET large");
  CHECK((size_t)reply->len == size && memcmp(reply->str, large, size) == 0);
  freeReplyObject(reply);
  free(large);

  freeReplyObject(redisCommand(client, "SET text abc"));
  reply = redisCommand(client, "INCR text");
  CHECK(reply->type == REDIS_REPLY_ERROR && strcmp(reply->str, "ERR value is not an integer or out of range") == 0);
  freeReplyObject(reply);
  reply = redisCommand(client, "NOSUCH");
  CHECK(reply->type == REDIS_REPLY_ERROR && client->err == 0);
  freeReplyObject(reply);

  redisFree(client);
  puts("cache-aside ok");
  return 0;
}
