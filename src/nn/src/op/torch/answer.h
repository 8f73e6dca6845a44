// How the functions for aten.rs answer.
//
// Tensors come as borrowed pointers; a null one is none. Results are written to
// `out`, each a tensor of its own that the caller frees (as the binding does);
// one that was not wanted is null. The answer is null, or the text of what went
// wrong, which the caller hands to `dygl_free_text`. No exception leaves.

#pragma once

#include <cstring>
#include <exception>
#include <tuple>
#include <utility>

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

inline at::Tensor *fresh(at::Tensor &tensor) {
    return tensor.defined() ? new at::Tensor(std::move(tensor)) : nullptr;
}

// What `f` gives, a tuple of tensors, goes to `out`.
template <typename F> char *answer(at::Tensor **out, F f) noexcept {
    try {
        auto results = f();
        std::apply([out](auto &...tensor) mutable { ((*out++ = fresh(tensor)), ...); }, results);
        return nullptr;
    } catch (const c10::Error &error) {
        return strdup(error.what_without_backtrace());
    } catch (const std::exception &error) {
        return strdup(error.what());
    } catch (...) {
        return strdup("an exception of unknown type");
    }
}
