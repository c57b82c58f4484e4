/* Of CUresult, what the stand-in gives. */
#pragma once
#define STANDIN_CODES(code)               \
  code(SUCCESS, 0)                        \
  code(INVALID_VALUE, 1)                  \
  code(OUT_OF_MEMORY, 2)                  \
  code(NOT_INITIALIZED, 3)                \
  code(NO_DEVICE, 100)                    \
  code(INVALID_DEVICE, 101)               \
  code(INVALID_IMAGE, 200)                \
  code(INVALID_CONTEXT, 201)              \
  code(NO_BINARY_FOR_GPU, 209)            \
  code(INVALID_HANDLE, 400)               \
  code(NOT_FOUND, 500)                    \
  code(NOT_READY, 600)                    \
  code(ILLEGAL_ADDRESS, 700)              \
  code(LAUNCH_OUT_OF_RESOURCES, 701)      \
  code(LAUNCH_FAILED, 719)                \
  code(STREAM_CAPTURE_UNSUPPORTED, 900)   \
  code(STREAM_CAPTURE_INVALIDATED, 901)   \
  code(STREAM_CAPTURE_UNMATCHED, 903)     \
  code(CAPTURED_EVENT, 907)

enum Code {
#define STANDIN_CODE(name, number) name = number,
  STANDIN_CODES(STANDIN_CODE)
#undef STANDIN_CODE
};

/* Says on stderr what is wrong, which codes do not say; standin_complaint() has it, too. */
__attribute__((format(printf, 1, 2))) void complain(const char* format, ...);
