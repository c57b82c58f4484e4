/*
 * A stand-in libnvrtc: CUDA texts are compiled for the CPU, by g++, after kernel.h. What it calls a cubin is a shared object behind a head
 * that says for which architecture it was asked for; the stand-in libcuda loads nothing else.
 *
 * The environment variable STANDIN_KERNEL_H says where kernel.h is.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <unistd.h>

#include "cubin.h"

namespace {

enum Result { SUCCESS = 0, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6 };

struct Program {
  std::string text, log, cubin;
};

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const std::string& contents) {
  std::ofstream(path, std::ios::binary) << contents;
}

/* How libcuda calls the entry, whatever the type of its one parameter is. Empty where there is no entry of that kind. */
std::string callOf(const std::string& text) {
  static const std::regex entry(R"(__global__[^;{]*\b(\w+)\s*\(\s*const\s+(\w+)\s+\w+\s*\)\s*\{)");
  std::smatch match;
  if (!std::regex_search(text, match, entry)) return "";
  const std::string name = match[1], type = match[2];
  const bool waits = text.find("__syncthreads") != std::string::npos || text.find("__shfl") != std::string::npos;
  return "\nextern \"C\" {\n"
         "extern char __start_standin_shared[] __attribute__((weak, visibility(\"hidden\")));\n"
         "extern char __stop_standin_shared[] __attribute__((weak, visibility(\"hidden\")));\n"
         "char* standin_shared_begin() { return __start_standin_shared; }\n"
         "char* standin_shared_end() { return __stop_standin_shared; }\n"
         "int standin_waits() { return " + std::to_string(waits) + "; }\n"
         "unsigned standin_parameter_bytes() { return sizeof(" + type + "); }\n"
         "const char* standin_name() { return \"" + name + "\"; }\n"
         "void standin_call(const void* parameter) { " + name + "(*(const " + type + "*)parameter); }\n}\n";
}

/* A shared object, or nothing and a log. */
std::string compile(const std::string& text, std::string& log) {
  const std::string call = callOf(text);
  if (call.empty()) {
    log = "the text has no __global__ function with one parameter by value\n";
    return "";
  }
  const std::string header = getenv("STANDIN_KERNEL_H") ? getenv("STANDIN_KERNEL_H") : "kernel.h";
  const std::string source = "#include \"" + header + "\"\n#line 1 \"text.cu\"\n" + text + call;
  char folder[] = "/tmp/standin-XXXXXX";
  if (!mkdtemp(folder)) return "";
  const std::string base = folder, in = base + "/text.cpp", out = base + "/text.so", said = base + "/log";
  write(in, source);
  // -O1, since most texts run once over little; no contraction, since default numerics have none.
  const std::string command = "g++ -std=c++17 -O1 -ffp-contract=off -fno-strict-aliasing -fno-exceptions -fno-rtti -fno-gnu-unique -fno-asynchronous-unwind-tables -w -shared -fPIC -o " + out + " " + in + " 2> " + said;
  // Not with -pipe: under Node, whose children inherit more than theirs, the assembler then waits for ever.
  const bool isCompiled = system(command.c_str()) == 0;
  log = read(said);
  const std::string object = isCompiled ? read(out) : "";
  for (const std::string& file : {in, out, said}) unlink(file.c_str());
  rmdir(folder);
  return object;
}

}  // namespace

extern "C" {

int nvrtcVersion(int* major, int* minor) {
  *major = 12;
  *minor = 4;
  return SUCCESS;
}

const char* nvrtcGetErrorString(int result) {
  switch (result) {
    case SUCCESS: return "NVRTC_SUCCESS";
    case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
    case INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
    case INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
    case COMPILATION: return "NVRTC_ERROR_COMPILATION";
    default: return "NVRTC_ERROR unknown";
  }
}

int nvrtcCreateProgram(Program** program, const char* text, const char*, int headers, const char* const*, const char* const*) {
  if (headers != 0) return INVALID_INPUT;
  *program = new Program{text, "", ""};
  return SUCCESS;
}

int nvrtcCompileProgram(Program* program, int count, const char* const* options) {
  int architecture = 0;
  bool isExact = false;
  for (int i = 0; i < count; i++) {
    const std::string option = options[i];
    if (option.rfind("--gpu-architecture=sm_", 0) == 0) architecture = atoi(option.c_str() + 22);
    else if (option == "--fmad=false") isExact = true;
    else if (option != "--std=c++17" && option != "--prec-div=true" && option != "--prec-sqrt=true") {
      program->log = "nvrtc: error: unrecognized option " + option + "\n";
      return INVALID_OPTION;
    }
  }
  if (architecture == 0 || !isExact) {
    program->log = "nvrtc: this stand-in compiles for an architecture sm_XX, with --fmad=false\n";
    return INVALID_OPTION;
  }
  const std::string object = compile(program->text, program->log);
  if (object.empty()) return COMPILATION;
  const CubinHead head{CUBIN_MAGIC, architecture, object.size()};
  program->cubin = std::string(reinterpret_cast<const char*>(&head), sizeof head) + object;
  return SUCCESS;
}

int nvrtcGetProgramLogSize(Program* program, size_t* size) {
  *size = program->log.size() + 1;
  return SUCCESS;
}

int nvrtcGetProgramLog(Program* program, char* log) {
  memcpy(log, program->log.c_str(), program->log.size() + 1);
  return SUCCESS;
}

int nvrtcGetCUBINSize(Program* program, size_t* size) {
  *size = program->cubin.size();
  return program->cubin.empty() ? INVALID_PROGRAM : SUCCESS;
}

int nvrtcGetCUBIN(Program* program, char* cubin) {
  memcpy(cubin, program->cubin.data(), program->cubin.size());
  return SUCCESS;
}

int nvrtcDestroyProgram(Program** program) {
  delete *program;
  *program = nullptr;
  return SUCCESS;
}

}  // extern "C"
