/* What a caller can get wrong, and what a newer library does with it. Exits with the number of the check that failed. */
#include "kvlens.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int at = 0;
#define EXPECT(condition) \
  do {                    \
    at++;                 \
    if (!(condition)) return at; \
  } while (0)

static void pull(void *userdata, const kvlens_collector *collector) {
  kvlens_step step;
  memset(&step, 0, sizeof step);
  step.struct_size = sizeof step;
  step.flags = KVLENS_STEP_FLAG_POLLED;
  step.known = KVLENS_STEP_REQUESTS_WAITING;
  step.requests_waiting = 7;
  kvlens_push_step(collector, &step);
  ++*(volatile int *)userdata;
}

int main(int argc, char **argv) {
  kvlens_collector *c = NULL;
  char message[256];
  const char *bad = "{\"out\": 1}";
  EXPECT(argc == 2);
  EXPECT(kvlens_open(NULL, 0, &c, NULL, 0) == KVLENS_NULL_POINTER && c == NULL);
  EXPECT(kvlens_open(bad, strlen(bad), &c, message, sizeof message) == KVLENS_BAD_CONFIG && strlen(message) > 10);
  EXPECT(kvlens_open(bad, strlen(bad), &c, message, 4) == KVLENS_BAD_CONFIG && strlen(message) == 3);
  EXPECT(kvlens_open("\xff\xfe", 2, &c, NULL, 0) == KVLENS_BAD_TEXT);
  EXPECT(kvlens_open(argv[1], strlen(argv[1]), &c, message, sizeof message) == KVLENS_OK && c != NULL);

  kvlens_step step;
  memset(&step, 0, sizeof step);
  step.struct_size = sizeof step;
  EXPECT(kvlens_push_step(c, &step) == KVLENS_NOT_STARTED);
  EXPECT(kvlens_start(c) == KVLENS_OK);
  EXPECT(kvlens_start(c) == KVLENS_ALREADY_STARTED);

  EXPECT(kvlens_push_step(NULL, &step) == KVLENS_NULL_POINTER);
  EXPECT(kvlens_push_step(c, NULL) == KVLENS_NULL_POINTER);
  step.struct_size = 12;
  EXPECT(kvlens_push_step(c, &step) == KVLENS_BAD_SIZE);
  step.struct_size = sizeof step - 4;
  EXPECT(kvlens_push_step(c, &step) == KVLENS_BAD_SIZE);
  step.struct_size = sizeof step;
  step.inter_token_latency_count = 3;
  EXPECT(kvlens_push_step(c, &step) == KVLENS_NULL_POINTER);
  EXPECT(kvlens_last_error(c, message, sizeof message) == KVLENS_OK && strstr(message, "NULL") != NULL);
  double latency = 0.5;
  step.inter_token_latency_s = &latency;
  step.inter_token_latency_count = UINT64_MAX;
  EXPECT(kvlens_push_step(c, &step) == KVLENS_BAD_SIZE);
  step.inter_token_latency_count = 0;

  /* An older caller: its struct ends after the arrays; and a newer one, with more than this library knows. */
  char *old = malloc(56);
  memcpy(old, &step, 56);
  *(uint32_t *)(void *)old = 56;
  EXPECT(kvlens_push_step(c, (const kvlens_step *)(void *)old) == KVLENS_OK);
  free(old);
  char *newer = calloc(1, sizeof step + 64);
  memcpy(newer, &step, sizeof step);
  *(uint32_t *)(void *)newer = sizeof step + 64;
  EXPECT(kvlens_push_step(c, (const kvlens_step *)(void *)newer) == KVLENS_OK);
  free(newer);

  kvlens_request requests[2];
  memset(requests, 0, sizeof requests);
  requests[0].struct_size = requests[1].struct_size = sizeof requests[0];
  EXPECT(kvlens_push_requests(c, requests, 2) == KVLENS_OK);
  requests[1].struct_size -= 8;
  EXPECT(kvlens_push_requests(c, requests, 2) == KVLENS_BAD_SIZE);
  EXPECT(kvlens_push_requests(c, NULL, 2) == KVLENS_NULL_POINTER);
  EXPECT(kvlens_push_requests(c, NULL, 0) == KVLENS_OK);
  EXPECT(kvlens_push_requests(c, requests, UINT64_MAX) == KVLENS_BAD_SIZE);
  EXPECT(kvlens_set_gauge(c, 5, 1.0) == KVLENS_UNKNOWN_METRIC);

  int asked = 0;
  EXPECT(kvlens_set_pull(c, pull, &asked) == KVLENS_OK);
  for (int i = 0; i < 200 && *(volatile int *)&asked < 2; i++) usleep(10000);
  EXPECT(asked >= 2);

  /* Another recording in the same process, and a fork. */
  pid_t child = fork();
  if (child == 0) {
    int good = kvlens_push_step(c, &step) == KVLENS_FORKED && kvlens_close(c) == KVLENS_FORKED;
    kvlens_free(c);
    _exit(good ? 0 : 1);
  }
  int status = 1;
  EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);

  uint64_t needed = 0;
  EXPECT(kvlens_snapshot(c, NULL, 0, &needed) == KVLENS_BUFFER_TOO_SMALL && needed > 2);
  char *json = malloc(needed + 1024);
  EXPECT(kvlens_snapshot(c, json, needed + 1024, &needed) == KVLENS_OK && strstr(json, "\"steps\":2") != NULL);
  free(json);
  EXPECT(kvlens_close(c) == KVLENS_OK);
  EXPECT(kvlens_close(c) == KVLENS_OK);
  EXPECT(kvlens_push_step(c, &step) == KVLENS_CLOSED);
  kvlens_free(c);
  kvlens_free(NULL);
  return 0;
}
