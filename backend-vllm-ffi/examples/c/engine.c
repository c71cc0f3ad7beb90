/*
 * A small engine in C that records itself: four requests at a time, a prompt each, one token per request and step.
 *
 *   cc -std=c99 -I../../include engine.c -L<where the library is> -lkvlens_vllm_ffi -o engine
 *   ./engine runs/
 *
 * It counts what it does, reads the recording's own figures back, and fails if they differ.
 */
#include "kvlens.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS 40
#define BATCH 4
#define BLOCK 16
#define BLOCKS 64

typedef struct {
  int id;
  unsigned prompt, cached, wanted, made;
} request;

typedef struct {
  uint64_t steps, prompt, generated, queries, hits, finished, latencies;
} totals;

static void fail(const kvlens_collector *collector, const char *what, kvlens_result code) {
  char why[512] = "";
  kvlens_last_error(collector, why, sizeof why);
  fprintf(stderr, "%s: %" PRIu32 " %s\n", what, code, why);
  exit(1);
}

static void check(const kvlens_collector *collector, const char *what, kvlens_result code) {
  if (code != KVLENS_OK) fail(collector, what, code);
}

static void finish(const kvlens_collector *collector, const request *done, totals *sum) {
  kvlens_request row;
  memset(&row, 0, sizeof row);
  row.struct_size = sizeof row;
  row.finish_reason = KVLENS_FINISH_LENGTH;
  row.known = KVLENS_REQUEST_CACHED_PROMPT_TOKENS | KVLENS_REQUEST_E2E_LATENCY;
  snprintf((char *)row.request_id, sizeof row.request_id, "request-%d", done->id);
  row.prompt_tokens = done->prompt;
  row.generation_tokens = done->made;
  row.cached_prompt_tokens = done->cached;
  row.e2e_latency_s = 0.010 * done->made;
  check(collector, "request", kvlens_push_requests(collector, &row, 1));
  sum->finished++;
}

/* Runs one step: new requests are prefilled, the others get one more token. */
static void step(const kvlens_collector *collector, request *batch, int *next, uint32_t queue_depth, totals *sum) {
  double first[BATCH], between[BATCH];
  kvlens_step row;
  memset(&row, 0, sizeof row);
  row.struct_size = sizeof row;
  row.known = KVLENS_STEP_REQUESTS_RUNNING | KVLENS_STEP_REQUESTS_WAITING | KVLENS_STEP_KV_BLOCKS_TOTAL |
              KVLENS_STEP_KV_BLOCKS_USED | KVLENS_STEP_KV_CACHE_USAGE | KVLENS_STEP_GENERATION_TOKENS |
              KVLENS_STEP_PROMPT_TOKENS | KVLENS_STEP_PREFIX_CACHE_QUERIES | KVLENS_STEP_PREFIX_CACHE_HITS |
              KVLENS_STEP_STEP_TIME;
  row.kv_blocks_total = BLOCKS;
  row.step_time_s = 0.010;
  row.time_to_first_token_s = first;
  row.inter_token_latency_s = between;
  for (int i = 0; i < BATCH; i++) {
    request *r = &batch[i];
    if (r->made == r->wanted && *next < REQUESTS) {
      int id = (*next)++;
      request fresh = {id, 48u + (unsigned)id % 7u, id > 0 ? 32u : 0u, 3u + (unsigned)id % 5u, 0u};
      *r = fresh;
    }
    if (r->made == r->wanted) continue;
    if (r->made == 0) {
      first[row.time_to_first_token_count++] = 0.030 + 0.001 * i;
      row.prompt_tokens += r->prompt;
      row.prefix_cache_queries += r->prompt;
      row.prefix_cache_hits += r->cached;
    } else {
      between[row.inter_token_latency_count++] = 0.010;
    }
    r->made++;
    row.generation_tokens++;
    if (r->made == r->wanted) {
      finish(collector, r, sum);
    } else {
      row.requests_running++;
    }
    row.kv_blocks_used += (r->prompt + r->made + BLOCK - 1) / BLOCK;
  }
  row.requests_waiting = (uint64_t)(REQUESTS - *next);
  row.kv_cache_usage = (double)row.kv_blocks_used / BLOCKS;
  check(collector, "step", kvlens_push_step(collector, &row));
  check(collector, "gauge", kvlens_set_gauge(collector, queue_depth, (double)(REQUESTS - *next)));
  sum->steps++;
  sum->prompt += row.prompt_tokens;
  sum->generated += row.generation_tokens;
  sum->queries += row.prefix_cache_queries;
  sum->hits += row.prefix_cache_hits;
  sum->latencies += row.inter_token_latency_count;
}

/* Finds `"name":<number>`, or `"name":{"count":<number>` for a histogram. */
static uint64_t figure(const char *json, const char *name) {
  char key[128];
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *at = strstr(json, key);
  if (at == NULL) return UINT64_MAX;
  at += strlen(key);
  if (*at == '{') at = strstr(at, "\"count\":") + strlen("\"count\":");
  return strtoull(at, NULL, 10);
}

static int compare(const char *json, const char *name, uint64_t pushed) {
  uint64_t recorded = figure(json, name);
  printf("%-24s pushed %6" PRIu64 "  recorded %6" PRIu64 "\n", name, pushed, recorded);
  return recorded == pushed ? 0 : 1;
}

int main(int argc, char **argv) {
  if (kvlens_abi_version() >> 16 != KVLENS_ABI_VERSION >> 16) {
    fprintf(stderr, "the library speaks another version of the interface\n");
    return 1;
  }
  char config[1024], message[512] = "";
  snprintf(config, sizeof config,
           "{\"out\":\"%s\",\"run_id\":\"%s\",\"formats\":[\"csv\",\"parquet\"],\"interval_ms\":10,"
           "\"source\":{\"name\":\"engine-0\",\"engine\":\"tiny-c-engine\"}}",
           argc > 1 ? argv[1] : "runs", argc > 2 ? argv[2] : "c-example");
  kvlens_collector *collector = NULL;
  kvlens_result code = kvlens_open(config, strlen(config), &collector, message, sizeof message);
  if (code != KVLENS_OK) {
    fprintf(stderr, "open: %" PRIu32 " %s\n", code, message);
    return 1;
  }
  uint32_t queue_depth = 0;
  const char *name = "queue_depth", *unit = "{request}", *help = "Requests that the engine has not looked at.";
  check(collector, "declare", kvlens_declare_metric(collector, name, strlen(name), KVLENS_KIND_GAUGE, unit,
                                                    strlen(unit), help, strlen(help), &queue_depth));
  check(collector, "start", kvlens_start(collector));
  check(collector, "at exit", kvlens_close_at_exit(collector));

  totals sum = {0, 0, 0, 0, 0, 0, 0};
  request batch[BATCH];
  memset(batch, 0, sizeof batch);
  int next = 0;
  while (sum.finished < REQUESTS) step(collector, batch, &next, queue_depth, &sum);

  check(collector, "flush", kvlens_flush(collector, 10000));
  check(collector, "close", kvlens_close(collector));
  check(collector, "close again", kvlens_close(collector));
  char *json = malloc(1 << 20);
  uint64_t needed = 0;
  if (json == NULL) return 1;
  check(collector, "summary", kvlens_summary(collector, 10000, json, 1 << 20, &needed));
  int wrong = 0;
  wrong += compare(json, "steps", sum.steps);
  wrong += compare(json, "prompt_tokens", sum.prompt);
  wrong += compare(json, "generation_tokens", sum.generated);
  wrong += compare(json, "prefix_cache_queries", sum.queries);
  wrong += compare(json, "prefix_cache_hits", sum.hits);
  wrong += compare(json, "requests_finished_length", sum.finished);
  wrong += compare(json, "inter_token_latency_ns", sum.latencies);
  wrong += compare(json, "time_to_first_token_ns", sum.finished);
  wrong += compare(json, "queue_depth", 0);
  free(json);
  kvlens_free(collector);
  printf(wrong == 0 ? "ok\n" : "the recording differs from what was pushed\n");
  return wrong;
}
