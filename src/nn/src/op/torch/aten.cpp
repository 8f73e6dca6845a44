// ATen's gradient kernels as C functions for aten.rs. The binding of libtorch
// leaves out every function with an array of bools among its arguments, and
// most kernels of gradients have one: it says which gradients are wanted.
// answer.h says how they are called.

#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/full.h>
#include <ATen/ops/grid_sampler_2d_backward.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/native_layer_norm_backward.h>

#include "answer.h"

namespace {

// As `Form` in aten.rs.
struct Form {
    int64_t stride, padding, output_padding, dilation, groups;
    bool transposed;
};

// As `Rates` in aten.rs.
struct Rates {
    double rate, beta1, beta2, decay, epsilon, time, clip;
};

std::optional<at::Tensor> maybe(const at::Tensor *tensor) {
    return tensor ? std::optional<at::Tensor>(*tensor) : std::nullopt;
}

// The masks of functions all of whose gradients are wanted.
constexpr std::array<bool, 2> both{true, true};
constexpr std::array<bool, 3> all{true, true, true};

} // namespace

extern "C" {

void dygl_free_text(char *text) { std::free(text); }

// Gradients of input, weight and bias (of `channels` values), each if it is
// wanted; three bools say so.
char *dygl_convolution_backward(const at::Tensor *grad, const at::Tensor *input, const at::Tensor *weight,
                                const Form *form, int64_t channels, const bool *wanted, at::Tensor **out) {
    return answer(out, [&] {
        using Pair = std::array<int64_t, 2>;
        auto pair = [](int64_t side) { return Pair{side, side}; };
        const Pair stride = pair(form->stride), padding = pair(form->padding);
        const Pair dilation = pair(form->dilation), output_padding = pair(form->output_padding);
        const std::array<int64_t, 1> bias{channels};
        const std::array<bool, 3> mask{wanted[0], wanted[1], wanted[2]};
        return at::convolution_backward(*grad, *input, *weight, at::IntArrayRef(bias), stride, padding,
                                        dilation, form->transposed, output_padding, form->groups, mask);
    });
}

// Gradients of input, weight and bias, given what the forward pass saved.
char *dygl_batch_norm_backward(const at::Tensor *grad, const at::Tensor *input, const at::Tensor *weight,
                               const at::Tensor *mean, const at::Tensor *inverse, double epsilon,
                               at::Tensor **out) {
    return answer(out, [&] {
        return at::native_batch_norm_backward(*grad, *input, maybe(weight), std::nullopt, std::nullopt,
                                              maybe(mean), maybe(inverse), true, epsilon, all);
    });
}

// Gradients of input, weight and bias over the last axis. Of the bias the kernel
// reads the shape alone, which is the weight's.
char *dygl_layer_norm_backward(const at::Tensor *grad, const at::Tensor *input, const at::Tensor *weight,
                               const at::Tensor *mean, const at::Tensor *inverse, at::Tensor **out) {
    return answer(out, [&] {
        const std::array<int64_t, 1> shape{input->size(-1)};
        return at::native_layer_norm_backward(*grad, *input, shape, *mean, *inverse, maybe(weight),
                                              maybe(weight), all);
    });
}

// Gradients of input and grid; `interpolation` and `padding` in ATen's codes.
char *dygl_grid_sampler_backward(const at::Tensor *grad, const at::Tensor *input, const at::Tensor *grid,
                                 int64_t interpolation, int64_t padding, bool align_corners,
                                 at::Tensor **out) {
    return answer(out, [&] {
        return at::grid_sampler_2d_backward(*grad, *input, *grid, interpolation, padding, align_corners,
                                            both);
    });
}

// One step of AdamW, in place; the gradient is scaled in place.
char *dygl_adamw(at::Tensor *parameter, at::Tensor *gradient, at::Tensor *m, at::Tensor *v, const Rates *rates) {
    return answer(nullptr, [&] {
        for (const at::Tensor *tensor : {gradient, m, v})
            TORCH_CHECK(tensor->sizes() == parameter->sizes(), "a parameter of shape ", parameter->sizes(),
                        " and its gradient or moment of ", tensor->sizes());
        const auto place = parameter->options().requires_grad(false);
        const at::Tensor time = at::full({}, rates->time, place.dtype(at::kFloat));
        // The kernel divides by its scale.
        const auto scale = rates->clip == 1.0 ? std::nullopt
                                              : std::optional(at::full({}, 1.0 / rates->clip, place));
        at::_fused_adamw_({*parameter}, {*gradient}, {*m}, {*v}, {}, {time}, rates->rate, rates->beta1,
                          rates->beta2, rates->decay, rates->epsilon, false, false, scale, std::nullopt);
        return std::tuple<>();
    });
}

} // extern "C"
