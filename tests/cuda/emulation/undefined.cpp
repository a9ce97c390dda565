// What -fsanitize=undefined calls, so that undefined behaviour fails a launch, not the process.
// Every handler's data begins with a place in the source (compiler-rt, ubsan_handlers.h).
#include "scheduler.hpp"

namespace {

struct Place {
  const char* file;
  unsigned line;
  unsigned column;
};

[[noreturn]] void fail_at(const void* data, const char* what) {
  const Place& place = *static_cast<const Place*>(data);
  emulated::fail("undefined behaviour at %s:%u: %s", place.file, place.line, what);
}

}  // namespace

#define EMULATED_HANDLER(name, what)                                                  \
  extern "C" [[noreturn]] EMULATED_API void __ubsan_handle_##name(const void* data) { \
    fail_at(data, what);                                                              \
  }
EMULATED_HANDLER(add_overflow_abort, "a sum overflows")
EMULATED_HANDLER(sub_overflow_abort, "a difference overflows")
EMULATED_HANDLER(mul_overflow_abort, "a product overflows")
EMULATED_HANDLER(negate_overflow_abort, "a negation overflows")
EMULATED_HANDLER(divrem_overflow_abort, "a division by zero, or one that overflows")
EMULATED_HANDLER(shift_out_of_bounds_abort, "a shift by too much, or of a negative number")
EMULATED_HANDLER(out_of_bounds_abort, "an index past the end of its array")
EMULATED_HANDLER(load_invalid_value_abort, "a value that its type does not have")
EMULATED_HANDLER(pointer_overflow_abort, "a pointer that overflows")
EMULATED_HANDLER(float_cast_overflow_abort, "a floating-point number out of the integer's range")
EMULATED_HANDLER(vla_bound_not_positive_abort, "an array without elements")
EMULATED_HANDLER(nonnull_arg_abort, "a null argument")
EMULATED_HANDLER(nonnull_return_v1_abort, "a null result")
EMULATED_HANDLER(invalid_builtin_abort, "a builtin that does not take zero")
EMULATED_HANDLER(builtin_unreachable, "what should be out of reach")
EMULATED_HANDLER(missing_return, "no value is returned")

// The address is misaligned, null, or of too small an object.
extern "C" [[noreturn]] EMULATED_API void __ubsan_handle_type_mismatch_v1_abort(
    const void* data, const void* address) {
  const Place& place = *static_cast<const Place*>(data);
  emulated::fail("undefined behaviour at %s:%u: the address %p is not one for its type", place.file,
                 place.line, address);
}
