/* The plain C interface between the two halves of the addon.
 *
 * The addon half links no torch, so it always loads and can always explain itself; the core half is one
 * shared library for each libtorch minor. Only plain types cross, so that neither half needs the other's
 * C++ library, allocator or exceptions. Bump ELECTRA_CORE_VERSION with any change to a struct or signature.
 */
#ifndef ELECTRA_CORE_H
#define ELECTRA_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ELECTRA_CORE_VERSION 2u

enum {
  ELECTRA_OK = 0,
  ELECTRA_INVALID_ARGUMENT = 1, /* a value out of range: ids, offsets, lengths */
  ELECTRA_CHECKPOINT_NOT_FOUND = 2,
  ELECTRA_CHECKPOINT_INVALID = 3,
  ELECTRA_DEVICE_UNAVAILABLE = 4,
  ELECTRA_MODEL_LOAD_FAILED = 5,
  ELECTRA_FORWARD_FAILED = 6,
  ELECTRA_OUT_OF_MEMORY = 7,
  ELECTRA_STOPPED = 8, /* the stop flag was raised while it ran */
  /* The forward failed, and so would every later one of this model: its device or its state is gone for good.
   * The addon calls forward no more; it still calls free_model. */
  ELECTRA_LOST = 9
};

/* One sentence, UTF-8, without a C++ backtrace; cut if longer. */
typedef struct electra_error {
  int32_t code;
  char message[2044];
} electra_error;

/* Read between layers and between tensors, so that a shutdown returns within about one layer. */
typedef struct electra_stop {
  int32_t (*requested)(void* context);
  void* context;
} electra_stop;

enum { ELECTRA_CHECKPOINT = 0, ELECTRA_ARCHIVE = 1 };

/* Chosen by the addon half, which reads the CPU; the core never guesses. */
enum { ELECTRA_DTYPE_AUTO = 0, ELECTRA_FP32 = 1, ELECTRA_BF16 = 2, ELECTRA_FP16 = 3, ELECTRA_INT8 = 4 };

/* On CUDA: ELECTRA_WARMUP_GRAPHS captures shapes as CUDA graphs at load, ELECTRA_WARMUP_EAGER none. */
enum { ELECTRA_WARMUP_GRAPHS = 0, ELECTRA_WARMUP_EAGER = 1 };

/* A shape to capture: batches of up to so many tokens and rows, and no row longer than `longest`. */
typedef struct electra_bucket {
  int32_t tokens, rows, longest;
} electra_bucket;

typedef struct electra_load_spec {
  int32_t kind;
  int32_t dtype;
  /* What AUTO means for a checkpoint on this CPU: ELECTRA_BF16, ELECTRA_FP16 or ELECTRA_FP32. */
  int32_t cpu_dtype;
  int32_t threads;
  const char* path;   /* UTF-8 */
  const char* config; /* config.json as text */
  const char* device; /* "auto", "cpu", "cuda", "cuda:N" */
  int32_t warmup;
  int32_t max_batch_tokens;      /* the largest batch that will come often: the ladder's top */
  const electra_bucket* buckets; /* what to capture instead of the ladder; NULL with num_buckets 0 */
  size_t num_buckets;
} electra_load_spec;

typedef struct electra_model electra_model; /* opaque */

enum { ELECTRA_ENGINE_ELECTRA = 0, ELECTRA_ENGINE_SCRIPT = 1 };

typedef struct electra_model_info {
  char device[16];
  int32_t dtype;
  int32_t engine;
  int32_t num_labels;
  int32_t vocab_size;
  int32_t max_position_embeddings;
  int32_t threads;
  int32_t mixes_lengths;
  int32_t overlaps; /* begin, finished and finish may be called */
  uint64_t memory;
  char notes[2048]; /* lines ended by \n */
} electra_model_info;

/* Packed rows: input_ids holds the tokens of all rows end to end, cu_seqlens rows + 1 offsets. */
typedef struct electra_batch {
  const int32_t* input_ids;
  const int32_t* cu_seqlens;
  const int32_t* token_type_ids; /* NULL: all 0 */
  int64_t total_tokens;
  int64_t rows;
} electra_batch;

typedef struct electra_file {
  const char* name;
  const void* bytes;
  uint64_t size;
} electra_file;

typedef struct electra_core {
  uint32_t version; /* ELECTRA_CORE_VERSION */
  uint32_t size;    /* sizeof(electra_core) */
  const char* torch_version;

  /* Calls `visit` once for each device; `cuda_unavailable` gets the reason, or "" where CUDA works. */
  void (*devices)(void (*visit)(void* context, const char* name, const char* description), void* context,
                  char* cuda_unavailable, size_t capacity);

  /* load, forward and free of one model are called from one and the same thread. */
  int32_t (*load)(const electra_load_spec* spec, const electra_stop* stop, electra_model** model,
                  electra_model_info* info, electra_error* error);

  /* Writes rows x num_labels floats, row-major. */
  int32_t (*forward)(electra_model* model, const electra_batch* batch, const electra_stop* stop,
                     float* logits, electra_error* error);

  /* The same in parts, for models that overlap: a second batch may begin before the first is finished, and
   * they finish in the order in which they began. `batch` is read by begin alone. Nothing of it but finish
   * waits. */
  int32_t (*begin)(electra_model* model, const electra_batch* batch, const electra_stop* stop,
                   int32_t* ticket, electra_error* error);
  int32_t (*finished)(electra_model* model, int32_t ticket, int32_t* finished, electra_error* error);
  int32_t (*finish)(electra_model* model, int32_t ticket, float* logits, electra_error* error);

  void (*free_model)(electra_model* model);

  /* Writes `spec` (a checkpoint) as a TorchScript archive with `files` inside, through a temporary name. */
  int32_t (*export_archive)(const electra_load_spec* spec, const char* out, const electra_file* files,
                            size_t num_files, const electra_stop* stop, electra_error* error);

  /* Calls `visit` for each extra file of an archive; runs nothing in it. */
  int32_t (*read_archive)(const char* path, void (*visit)(void* context, const electra_file* file),
                          void* context, electra_error* error);
} electra_core;

/* The one exported symbol: "electra_core_get". Returns NULL where the version asked for is not offered. */
typedef const electra_core* (*electra_core_get_fn)(uint32_t version);

#ifdef __cplusplus
}
#endif

#endif
