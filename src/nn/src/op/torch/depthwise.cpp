// Depthwise convolutions on the CPU, stride 1, f32: one k x k filter per channel.
// libtorch gives them to oneDNN, which wants the channels of a pixel side by
// side and copies every map there and back; with dilation it has no kernel for
// their gradients but its reference. Here a plane is copied once, with a border,
// into the second-level cache, and worked off there. No result depends on the
// number of threads. Calls as in aten.cpp.

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty.h>

#include "answer.h"

// The best instructions of the machine are chosen when the program starts.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define MACHINE __attribute__((target_clones("avx512f", "fma", "default")))
#else
#define MACHINE
#endif
#define INLINE __attribute__((always_inline)) inline

namespace {

constexpr int64_t LANES = 16;
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float))));

INLINE void load(Lanes &lanes, const float *from) { std::memcpy(&lanes, from, sizeof(Lanes)); }

// A plane with `border` zeros around it and at least LANES behind each row.
struct Padded {
    int64_t height, width, border, stride;
    std::vector<float> values;

    Padded(int64_t height, int64_t width, int64_t border)
        : height(height), width(width), border(border), stride(border + width + std::max(border, LANES)),
          values((height + 2 * border) * stride + LANES) {}

    void fill(const float *plane) {
        for (int64_t row = 0; row < height; ++row)
            std::memcpy(&values[(row + border) * stride + border], plane + row * width, width * sizeof(float));
    }

    const float *row(int64_t row) const { return &values[row * stride]; }
};

// y[r][c] = sum of filter[i][j] x[r + i dilation][c + j dilation].
template <int K>
INLINE void correlate(float *y, int64_t rows, int64_t columns, const float *x, int64_t stride, const float *filter,
                      int64_t dilation) {
    for (int64_t row = 0; row < rows; ++row, x += stride, y += columns) {
        for (int64_t column = 0; column < columns; column += LANES) {
            Lanes sum{};
            for (int i = 0; i < K; ++i) {
                const float *from = x + i * dilation * stride + column;
                for (int j = 0; j < K; ++j) {
                    Lanes tap;
                    load(tap, from + j * dilation);
                    sum += tap * filter[i * K + j];
                }
            }
            const int64_t count = std::min(LANES, columns - column);
            std::memcpy(y + column, &sum, count * sizeof(float));
        }
    }
}

// sums[i][j] += sum over r, c of slope[r][c] x[r + i dilation][c + j dilation];
// behind each row of slope are zeros.
template <int K>
INLINE void along(double *sums, int64_t rows, int64_t columns, const float *slope, int64_t slope_stride,
                  const float *x, int64_t x_stride, int64_t dilation) {
    for (int64_t row = 0; row < rows; ++row) {
        for (int i = 0; i < K; ++i) {
            const float *from = x + (row + i * dilation) * x_stride, *with = slope + row * slope_stride;
            Lanes part[K] = {};
            for (int64_t column = 0; column < columns; column += LANES) {
                Lanes g, tap;
                load(g, with + column);
                for (int j = 0; j < K; ++j) {
                    load(tap, from + column + j * dilation);
                    part[j] += g * tap;
                }
            }
            for (int j = 0; j < K; ++j) {
                float sum = 0;
                for (int64_t lane = 0; lane < LANES; ++lane) sum += part[j][lane];
                sums[i * K + j] += sum;
            }
        }
    }
}

#define KERNELS(K)                                                                                           \
    MACHINE void correlate##K(float *y, int64_t rows, int64_t columns, const float *x, int64_t stride,       \
                              const float *filter, int64_t dilation) {                                       \
        correlate<K>(y, rows, columns, x, stride, filter, dilation);                                         \
    }                                                                                                        \
    MACHINE void along##K(double *sums, int64_t rows, int64_t columns, const float *slope,                   \
                          int64_t slope_stride, const float *x, int64_t x_stride, int64_t dilation) {        \
        along<K>(sums, rows, columns, slope, slope_stride, x, x_stride, dilation);                           \
    }
KERNELS(3)
KERNELS(5)
KERNELS(7)

template <typename F3, typename F5, typename F7> auto of_side(int64_t side, F3 three, F5 five, F7 seven) {
    TORCH_CHECK(side == 3 || side == 5 || side == 7, "a depthwise kernel of side ", side);
    return side == 3 ? three : side == 5 ? five : seven;
}

// Planes that one task works off at least: some 100 KiB.
int64_t grain(int64_t pixels) { return std::max<int64_t>(1, 32768 / std::max<int64_t>(1, pixels)); }

} // namespace

extern "C" {

// input [B, C, H, W], weight [C, 1, k, k], k 3, 5 or 7, to [B, C, H', W'] with
// H' = H + 2 padding - dilation (k - 1).
char *dygl_depthwise(const at::Tensor *input, const at::Tensor *weight, int64_t padding, int64_t dilation,
                     at::Tensor **out) {
    return answer(out, [&] {
        const at::Tensor x = input->contiguous(), w = weight->contiguous();
        const int64_t channels = x.size(1), height = x.size(2), width = x.size(3), side = w.size(-1);
        const int64_t reach = dilation * (side - 1);
        const int64_t rows = height + 2 * padding - reach, columns = width + 2 * padding - reach;
        at::Tensor y = at::empty({x.size(0), channels, rows, columns}, x.options());
        const float *from = x.const_data_ptr<float>(), *filters = w.const_data_ptr<float>();
        float *to = y.mutable_data_ptr<float>();
        const auto kernel = of_side(side, correlate3, correlate5, correlate7);
        at::parallel_for(0, x.size(0) * channels, grain(height * width), [&](int64_t begin, int64_t end) {
            Padded plane(height, width, padding);
            for (int64_t index = begin; index < end; ++index) {
                plane.fill(from + index * height * width);
                kernel(to + index * rows * columns, rows, columns, plane.row(0), plane.stride,
                       filters + index % channels * side * side, dilation);
            }
        });
        return std::make_tuple(y);
    });
}

// Gradients of input and weight of `dygl_depthwise`; padding must not exceed
// dilation (k - 1).
char *dygl_depthwise_backward(const at::Tensor *grad, const at::Tensor *input, const at::Tensor *weight,
                              int64_t padding, int64_t dilation, at::Tensor **out) {
    return answer(out, [&] {
        const at::Tensor g = grad->contiguous(), x = input->contiguous(), w = weight->contiguous();
        const int64_t batch = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
        const int64_t rows = g.size(2), columns = g.size(3), side = w.size(-1), area = side * side;
        const int64_t reach = dilation * (side - 1), border = reach - padding;
        const std::array<int64_t, 4> shape{batch, channels, height + 2 * padding - reach,
                                           width + 2 * padding - reach};
        TORCH_CHECK(g.device().is_cpu() && g.sizes() == at::IntArrayRef(shape), "a gradient of shape ", g.sizes(),
                    " for an output of ", at::IntArrayRef(shape));
        at::Tensor x_grad = at::empty_like(x), w_grad = at::empty_like(w);
        const float *slopes = g.const_data_ptr<float>(), *from = x.const_data_ptr<float>();
        const float *filters = w.const_data_ptr<float>();
        float *to = x_grad.mutable_data_ptr<float>(), *to_filters = w_grad.mutable_data_ptr<float>();
        const auto back = of_side(side, correlate3, correlate5, correlate7);
        const auto sum = of_side(side, along3, along5, along7);
        at::parallel_for(0, channels, grain(batch * height * width), [&](int64_t begin, int64_t end) {
            Padded plane(height, width, padding), slope(rows, columns, border);
            for (int64_t channel = begin; channel < end; ++channel) {
                std::vector<double> sums(area);
                std::vector<float> flipped(filters + channel * area, filters + (channel + 1) * area);
                std::reverse(flipped.begin(), flipped.end());
                for (int64_t image = 0; image < batch; ++image) {
                    const int64_t index = image * channels + channel;
                    plane.fill(from + index * height * width);
                    slope.fill(slopes + index * rows * columns);
                    back(to + index * height * width, height, width, slope.row(0), slope.stride,
                         flipped.data(), dilation);
                    sum(sums.data(), rows, columns, slope.row(border) + border, slope.stride, plane.row(0),
                        plane.stride, dilation);
                }
                std::copy(sums.begin(), sums.end(), to_filters + channel * area);
            }
        });
        return std::make_tuple(x_grad, w_grad);
    });
}

} // extern "C"
