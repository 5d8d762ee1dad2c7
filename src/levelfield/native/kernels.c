/* The parameter side of a training step, and gelu, on a CPU: one pass over memory where torch takes ten.

A tensor is `rows` output units of `size` numbers. Of a standardised one the gradient is that of the standardised
weight, as activations meet it; `measure` turns it into the gradient of the weight row by row, `update` clips, decays,
steps, averages and standardises anew while the row is in the cache. Both read a row before they write to it.

Source: arXiv 2102.06171, sections 3 and 4, for standardisation and adaptive clipping; levelfield/train and
levelfield/families/nfnet/standardise.py are the slow twins that every function here is tested against. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

typedef union {
    uint32_t bits;
    float value;
} Word;

static inline float of_bfloat16(uint16_t x) {
    Word word = {.bits = (uint32_t)x << 16};
    return word.value;
}

static inline uint16_t to_bfloat16(float x) { /* to nearest, ties to even; a NaN stays one */
    Word word = {.value = x};
    uint32_t rounded = (word.bits + 0x7fff + ((word.bits >> 16) & 1)) >> 16;
    uint32_t quiet = (word.bits >> 16) | 0x40;
    return (uint16_t)((word.bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

#define BLOCK 256

static inline void widen(const uint16_t *restrict from, float *restrict to, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[i] = of_bfloat16(from[i]);
}

static inline void narrow(const float *restrict from, uint16_t *restrict to, int64_t count) {
#ifdef __AVX512BF16__ /* one instruction where compilers make twelve of to_bfloat16 */
    int64_t i = 0;
    for (; i + 16 <= count; i += 16)
        _mm256_storeu_si256((__m256i *)(to + i), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + i)));
    for (; i < count; i++) to[i] = to_bfloat16(from[i]);
#else
    for (int64_t i = 0; i < count; i++) to[i] = to_bfloat16(from[i]);
#endif
}

typedef struct {
    float *weight, *momentum, *square; /* square: AdamW's second moment, NULL for SGD */
    float *average;                    /* NULL where none is kept */
    const void *gradient;               /* of the standardised weight where `gain` is set */
    const float *gain;                  /* [rows], NULL where the tensor is not standardised */
    float *gain_gradient;               /* [rows], written by measure */
    void *standardised;                 /* [rows, size], written by update and standardise */
    float *facts;                       /* [rows, 8], scratch: see below */
    int64_t rows, size;
    float input_scale, floor, added; /* r = rsqrt(max(S, floor) + added), S the sum of squared deviations */
    float clip_lambda, clip_eps;     /* clip_lambda 0: not clipped */
    float decay, rate;
    int32_t gradient_bfloat16, standardised_bfloat16;
} Tensor;

enum { MEAN, FACTOR, GRADIENT_MEAN, SPREAD, SCALE, FACTS = 8 };

#define GRADIENT_NORM_FLOOR 1e-6f

typedef struct {
    float mean, energy, inverse;
} Moments;

static Moments moments(const Tensor *t, const float *weight) {
    int64_t size = t->size;
    float sum = 0, energy = 0;
    for (int64_t j = 0; j < size; j++) sum += weight[j];
    float mean = sum / (float)size;
    for (int64_t j = 0; j < size; j++) {
        float deviation = weight[j] - mean;
        energy += deviation * deviation;
    }
    float held = energy > t->floor ? energy : t->floor;
    if (!(energy == energy)) held = energy;
    return (Moments){mean, energy, 1.0f / sqrtf(held + t->added)};
}

/* Never inlined: two callers must have the same bits. */
__attribute__((noinline)) static void standardise_row(const Tensor *t, int64_t row) {
    const float *weight = t->weight + row * t->size;
    Moments m = moments(t, weight);
    float factor = t->input_scale * t->gain[row] * m.inverse, mean = m.mean;
    if (t->standardised_bfloat16) {
        uint16_t *out = (uint16_t *)t->standardised + row * t->size;
        float block[BLOCK];
        for (int64_t start = 0; start < t->size; start += BLOCK) {
            int64_t held = t->size - start < BLOCK ? t->size - start : BLOCK;
            for (int64_t j = 0; j < held; j++) block[j] = (weight[start + j] - mean) * factor;
            narrow(block, out + start, held);
        }
    } else {
        float *out = (float *)t->standardised + row * t->size;
        for (int64_t j = 0; j < t->size; j++) out[j] = (weight[j] - mean) * factor;
    }
}

void standardise(const Tensor *tensors, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (tensors[i].gain)
            for (int64_t row = 0; row < tensors[i].rows; row++) standardise_row(tensors + i, row);
}

/* Sums of a row of the gradient, specialised by its type so that the loops vectorise. */
#define MEASURE_ROW(NAME, TYPE, READ)                                                                              \
    static double NAME(const Tensor *t, int64_t row) {                                                             \
        const float *weight = t->weight + row * t->size;                                                           \
        const TYPE *gradient = (const TYPE *)t->gradient + row * t->size;                                          \
        float *facts = t->facts + row * FACTS;                                                                     \
        int64_t size = t->size;                                                                                    \
        float squares = 0, weights = 0;                                                                            \
        if (t->gain) {                                                                                             \
            Moments m = moments(t, weight);                                                                        \
            float sum = 0, dot = 0, mean = m.mean;                                                                 \
            for (int64_t j = 0; j < size; j++) {                                                                   \
                float g = READ(gradient[j]);                                                                       \
                sum += g;                                                                                          \
                dot += g * (weight[j] - mean);                                                                     \
            }                                                                                                      \
            float gradient_mean = sum / (float)size, slope = dot * m.inverse;                                      \
            t->gain_gradient[row] = slope * t->input_scale;                                                        \
            float spread = m.energy < t->floor ? 0.0f : slope * m.inverse;                                         \
            float factor = t->input_scale * t->gain[row] * m.inverse;                                              \
            for (int64_t j = 0; j < size; j++) {                                                                   \
                float change = (READ(gradient[j]) - gradient_mean - spread * (weight[j] - mean)) * factor;         \
                squares += change * change;                                                                        \
                weights += weight[j] * weight[j];                                                                  \
            }                                                                                                      \
            facts[MEAN] = mean, facts[FACTOR] = factor, facts[GRADIENT_MEAN] = gradient_mean;                      \
            facts[SPREAD] = spread;                                                                                \
        } else {                                                                                                   \
            for (int64_t j = 0; j < size; j++) {                                                                   \
                float change = READ(gradient[j]);                                                                  \
                squares += change * change;                                                                        \
                weights += weight[j] * weight[j];                                                                  \
            }                                                                                                      \
        }                                                                                                          \
        facts[SCALE] = 1.0f;                                                                                       \
        if (t->clip_lambda > 0) {                                                                                  \
            float norm = sqrtf(weights), slope = sqrtf(squares);                                                   \
            norm = norm > t->clip_eps ? norm : t->clip_eps;                                                        \
            slope = slope > GRADIENT_NORM_FLOOR ? slope : GRADIENT_NORM_FLOOR;                                     \
            float scale = norm * t->clip_lambda / slope;                                                           \
            facts[SCALE] = scale < 1.0f ? scale : 1.0f;                                                            \
        }                                                                                                          \
        return (double)squares;                                                                                    \
    }

#define SAME(x) (x)
MEASURE_ROW(measure_row_float, float, SAME)
MEASURE_ROW(measure_row_bfloat16, uint16_t, of_bfloat16)

/* The sum of squares of the gradients, of which every row's scale is left in its facts. */
double measure(const Tensor *tensors, int64_t count, int64_t *clipped) {
    double total = 0;
    int64_t units = 0;
    for (int64_t i = 0; i < count; i++) {
        const Tensor *t = tensors + i;
        for (int64_t row = 0; row < t->rows; row++) {
            total += t->gradient_bfloat16 ? measure_row_bfloat16(t, row) : measure_row_float(t, row);
            units += t->facts[row * FACTS + SCALE] < 1.0f;
        }
    }
    *clipped = units;
    return total;
}

#define UPDATE_ROW(NAME, TYPE, READ)                                                                               \
    static void NAME(const Tensor *t, int64_t row, float global, float momentum, int32_t nesterov, float taken) {  \
        float *restrict weight = t->weight + row * t->size, *restrict moment = t->momentum + row * t->size;        \
        const TYPE *restrict gradient = (const TYPE *)t->gradient + row * t->size;                                 \
        float *restrict average = t->average ? t->average + row * t->size : NULL;                                  \
        const float *facts = t->facts + row * FACTS;                                                               \
        int32_t standardised = t->gain != NULL;                                                                    \
        float scale = facts[SCALE] * global, decay = t->decay, rate = t->rate;                                     \
        float mean = standardised ? facts[MEAN] : 0.0f, spread = standardised ? facts[SPREAD] : 0.0f;              \
        float gradient_mean = standardised ? facts[GRADIENT_MEAN] : 0.0f;                                          \
        float factor = (standardised ? facts[FACTOR] : 1.0f) * scale;                                              \
        float now = nesterov ? 1.0f : 0.0f, later = nesterov ? momentum : 1.0f;                                    \
        for (int64_t j = 0; j < t->size; j++) {                                                                    \
            float w = weight[j];                                                                                   \
            float g = (READ(gradient[j]) - gradient_mean - spread * (w - mean)) * factor + decay * w;              \
            float m = momentum * moment[j] + g;                                                                    \
            moment[j] = m;                                                                                         \
            weight[j] = w - rate * (now * g + later * m);                                                          \
        }                                                                                                          \
        if (average)                                                                                               \
            for (int64_t j = 0; j < t->size; j++) average[j] += taken * (weight[j] - average[j]);                  \
    }

UPDATE_ROW(update_row_float, float, SAME)
UPDATE_ROW(update_row_bfloat16, uint16_t, of_bfloat16)

/* What AdamW takes of a step. Shares are 1 - beta, of double precision: 1 - .999f is 1.3e-5 off. r1 = 1 / (1 - beta1^t)
   and r2 = 1 / sqrt(1 - beta2^t) undo the bias of its moments. */
typedef struct {
    float share1, beta2, share2, r1, r2, eps;
} Moving;

#define ADAM_ROW(NAME, TYPE, READ)                                                                                 \
    static void NAME(const Tensor *t, int64_t row, float global, Moving by, float taken) {                         \
        float *restrict weight = t->weight + row * t->size, *restrict moment = t->momentum + row * t->size;        \
        float *restrict second = t->square + row * t->size;                                                        \
        const TYPE *restrict gradient = (const TYPE *)t->gradient + row * t->size;                                 \
        float *restrict average = t->average ? t->average + row * t->size : NULL;                                  \
        const float *facts = t->facts + row * FACTS;                                                               \
        int32_t standardised = t->gain != NULL;                                                                    \
        float scale = facts[SCALE] * global, kept = 1.0f - t->rate * t->decay, rate = t->rate * by.r1;             \
        float mean = standardised ? facts[MEAN] : 0.0f, spread = standardised ? facts[SPREAD] : 0.0f;              \
        float gradient_mean = standardised ? facts[GRADIENT_MEAN] : 0.0f;                                          \
        float factor = (standardised ? facts[FACTOR] : 1.0f) * scale;                                              \
        for (int64_t j = 0; j < t->size; j++) {                                                                    \
            float w = weight[j];                                                                                   \
            float g = (READ(gradient[j]) - gradient_mean - spread * (w - mean)) * factor;                          \
            float m = moment[j] + by.share1 * (g - moment[j]);                                                     \
            float v = by.beta2 * second[j] + by.share2 * g * g;                                                    \
            moment[j] = m, second[j] = v;                                                                          \
            weight[j] = w * kept - rate * m / (sqrtf(v) * by.r2 + by.eps);                                         \
        }                                                                                                          \
        if (average)                                                                                               \
            for (int64_t j = 0; j < t->size; j++) average[j] += taken * (weight[j] - average[j]);                  \
    }

ADAM_ROW(adam_row_float, float, SAME)
ADAM_ROW(adam_row_bfloat16, uint16_t, of_bfloat16)

/* One step of SGD by what measure has left. Tensors that are not standardised come last in the table and step first,
   since a weight is standardised by its new gain. `taken` is the share of the new weights in their average. */
void update(const Tensor *tensors, int64_t count, float global, float momentum, int32_t nesterov, float taken) {
    for (int64_t i = count - 1; i >= 0; i--) {
        const Tensor *t = tensors + i;
        for (int64_t row = 0; row < t->rows; row++) {
            if (t->gradient_bfloat16)
                update_row_bfloat16(t, row, global, momentum, nesterov, taken);
            else
                update_row_float(t, row, global, momentum, nesterov, taken);
            if (t->gain) standardise_row(t, row);
        }
    }
}

/* The same of AdamW, whose decay is a share of the rate: t->rate * t->decay of a weight. */
void update_adam(
    const Tensor *tensors, int64_t count, float global, float share1, float beta2, float share2, float r1, float r2,
    float eps, float taken) {
    Moving by = {share1, beta2, share2, r1, r2, eps};
    for (int64_t i = count - 1; i >= 0; i--) {
        const Tensor *t = tensors + i;
        for (int64_t row = 0; row < t->rows; row++) {
            if (t->gradient_bfloat16)
                adam_row_bfloat16(t, row, global, by, taken);
            else
                adam_row_float(t, row, global, by, taken);
            if (t->gain) standardise_row(t, row);
        }
    }
}

/* 1 / (1 + exp(-x)) to 2e-7: exp by its power of two and a polynomial (Cephes, expf). */
static inline float sigmoid(float x) {
    float y = -x;
    y = -87.0f > y ? -87.0f : y; /* a NaN stays one */
    y = 88.8f < y ? 88.8f : y; /* whose power of two, 128, is infinite: far below, gelu is 0 */
    float whole = rintf(y * 1.44269504088896341f);
    float rest = y - whole * 0.693359375f - whole * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * rest + 1.3981999507e-3f;
    p = p * rest + 8.3334519073e-3f;
    p = p * rest + 4.1665795894e-2f;
    p = p * rest + 1.6666665459e-1f;
    p = p * rest + 5.0000001201e-1f;
    p = p * rest * rest + rest + 1.0f;
    Word power = {.bits = (uint32_t)((int32_t)whole + 127) << 23};
    return 1.0f / (1.0f + p * power.value);
}

/* gelu_tanh(x) = x sigmoid(2u), u = sqrt(2 / pi) (x + .044715 x^3). */
#define TWICE_ROOT 1.5957691216057308f
#define CUBIC 0.044715f

static inline float gelu_of(float x) { return x * sigmoid(TWICE_ROOT * x * (1.0f + CUBIC * x * x)); }

static inline float slope_of(float x) {
    float square = x * x;
    float s = sigmoid(TWICE_ROOT * x * (1.0f + CUBIC * square));
    return s + x * s * (1.0f - s) * TWICE_ROOT * (1.0f + 3.0f * CUBIC * square);
}

void gelu_float(const float *restrict x, float *restrict y, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] = gelu_of(x[i]);
}

void gelu_bfloat16(const uint16_t *restrict x, uint16_t *restrict y, int64_t count) {
    float in[BLOCK], out[BLOCK];
    for (int64_t start = 0; start < count; start += BLOCK) {
        int64_t held = count - start < BLOCK ? count - start : BLOCK;
        widen(x + start, in, held);
        for (int64_t i = 0; i < held; i++) out[i] = gelu_of(in[i]);
        narrow(out, y + start, held);
    }
}

void gelu_backward_float(const float *restrict x, const float *restrict g, float *restrict y, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] = g[i] * slope_of(x[i]);
}

void gelu_backward_bfloat16(
    const uint16_t *restrict x, const uint16_t *restrict g, uint16_t *restrict y, int64_t count) {
    float in[BLOCK], change[BLOCK], out[BLOCK];
    for (int64_t start = 0; start < count; start += BLOCK) {
        int64_t held = count - start < BLOCK ? count - start : BLOCK;
        widen(x + start, in, held);
        widen(g + start, change, held);
        for (int64_t i = 0; i < held; i++) out[i] = change[i] * slope_of(in[i]);
        narrow(out, y + start, held);
    }
}
