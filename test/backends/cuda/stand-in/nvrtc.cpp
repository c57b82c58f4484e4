/*
 * A stand-in libnvrtc: CUDA texts are compiled for the CPU, by g++, behind text.h and kernel.h. What it calls a cubin is a shared object
 * behind a head that says for which architecture it was asked for; the stand-in libcuda loads nothing else. A text has one kernel, which
 * has one parameter, by value.
 *
 * Where the environment variable STANDIN_CACHE names a folder, shared objects are kept there, by a hash of what they were made of.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include "cubin.h"

/* What comes before each text. g++ is run in the folder of the sources. */
asm(R"(
.section .rodata
standin_prelude:
.incbin "text.h"
.incbin "kernel.h"
.byte 0
.previous
)");
extern "C" const char standin_prelude[];

namespace {

enum Result { SUCCESS = 0, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6 };

/* What NVRTC 12.4 knows. */
const std::set<int> ARCHITECTURES = {50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90};

/*
 * -Og, since a text runs a few times over little: -O1 takes twice as long to compile. No contraction, as by --fmad=false. What nobody has set is no zero. Nothing is
 * linked with it, which would take as long as compiling: libcuda sees to it that maths functions are there. Not with -pipe: under Node,
 * whose children inherit more than theirs, the assembler then waits for ever.
 */
const std::string COMPILER =
    "g++ -std=c++17 -Og -ffp-contract=off -fno-math-errno -fno-strict-aliasing -fno-exceptions -fno-rtti -fno-gnu-unique "
    "-fno-asynchronous-unwind-tables -fno-stack-protector -ftrivial-auto-var-init=pattern -fvisibility=hidden -nostdinc -w -fmax-errors=20 "
    "-fPIC -shared -nostdlib -Wl,-s,--build-id=none";

struct Program {
  std::string text, log, cubin;
};

std::set<Program*> programs;

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const std::string& contents) { std::ofstream(path, std::ios::binary) << contents; }

/* What libcuda needs to know of a text. Empty where there is no kernel of that kind. */
std::string tableOf(const std::string& text) {
  static const std::regex entry(R"(__global__[^;{]*\b(\w+)\s*\(\s*(?:const\s+)?(\w+)\s+\w+\s*\)\s*\{)");
  static const std::regex bounds(R"(__launch_bounds__\s*\(\s*(\w+))");
  std::smatch kernel, bound;
  if (!std::regex_search(text, kernel, entry)) return "";
  const std::string name = kernel[1], type = kernel[2];
  const std::string threads = std::regex_search(text, bound, bounds) ? bound[1].str() : "1024";
  const bool waits = text.find("__sync") != std::string::npos || text.find("__shfl") != std::string::npos;
  return "\n#line 1 \"stand-in\"\n"
         "extern \"C\" char __start_standin_shared[] __attribute__((weak)), __stop_standin_shared[] __attribute__((weak));\n"
         "static void standin_call(const void* parameter) { " + name + "(*(const " + type + "*)parameter); }\n"
         "extern \"C\" __attribute__((visibility(\"default\"))) const StandinText standin_text = {\n"
         "  \"" + name + "\", sizeof(" + type + "), " + threads + ", " + (waits ? "true" : "false") + ", standin_call,\n"
         "  &standin_thread, &standin_block, &standin_grid, &standin_threads,\n"
         "  __start_standin_shared, __stop_standin_shared, &standin_waiting};\n";
}

/* FNV-1a, twice. */
std::string hashOf(const std::string& text) {
  uint64_t hashes[2] = {0xcbf29ce484222325, 0x84222325cbf29ce4};
  for (const char c : text)
    for (uint64_t& hash : hashes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3 + (hash >> 47);
  char digits[33];
  snprintf(digits, sizeof digits, "%016llx%016llx", static_cast<unsigned long long>(hashes[0]), static_cast<unsigned long long>(hashes[1]));
  return digits;
}

/* A shared object, or nothing and a log. */
std::string compileNew(const std::string& source, std::string& log) {
  char folder[] = "/tmp/stand-in-XXXXXX";
  if (!mkdtemp(folder)) return "";
  const std::string base = folder, in = base + "/text.cpp", out = base + "/text.so", said = base + "/log";
  write(in, source);
  const std::string command = COMPILER + " -o " + out + " " + in + " 2> " + said;
  const bool isCompiled = system(command.c_str()) == 0;
  log = read(said);
  const std::string object = isCompiled ? read(out) : "";
  for (const std::string& file : {in, out, said}) unlink(file.c_str());
  rmdir(folder);
  return object;
}

std::string compile(const std::string& text, std::string& log) {
  const std::string table = tableOf(text);
  if (table.empty()) {
    log = "the text has no __global__ function with one parameter by value\n";
    return "";
  }
  const std::string source = std::string(standin_prelude) + "\n#line 1 \"text.cu\"\n" + text + table;
  const char* cache = getenv("STANDIN_CACHE");
  if (!cache) return compileNew(source, log);
  const std::string path = std::string(cache) + "/" + hashOf(COMPILER + source) + ".so";
  const std::string known = read(path);
  if (!known.empty()) return known;
  const std::string object = compileNew(source, log);
  if (object.empty()) return object;
  mkdir(cache, 0777);
  const std::string draft = path + "." + std::to_string(getpid());  // other processes find it whole or not at all
  write(draft, object);
  rename(draft.c_str(), path.c_str());
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
  programs.insert(*program);
  return SUCCESS;
}

int nvrtcCompileProgram(Program* program, int count, const char* const* options) {
  if (!programs.count(program)) return INVALID_PROGRAM;
  int architecture = 0;
  bool isContracted = true;
  const auto refuse = [&](const std::string& why) {
    program->log = "nvrtc: error: " + why + "\n";
    return INVALID_OPTION;
  };
  for (int i = 0; i < count; i++) {
    const std::string option = options[i], wanted = "--gpu-architecture=sm_";
    if (option.rfind(wanted, 0) == 0) architecture = atoi(option.c_str() + wanted.size());
    else if (option == "--fmad=false") isContracted = false;
    else if (option != "--std=c++17" && option != "--prec-div=true" && option != "--prec-sqrt=true") return refuse("unrecognized option " + option);
  }
  if (!ARCHITECTURES.count(architecture)) return refuse("invalid value for --gpu-architecture (-arch)");
  if (isContracted) return refuse("this stand-in cannot contract a * b + c, which is the default: it wants --fmad=false");
  const std::string object = compile(program->text, program->log);
  if (object.empty()) return COMPILATION;
  const CubinHead head{CUBIN_MAGIC, architecture, object.size()};
  program->cubin = std::string(reinterpret_cast<const char*>(&head), sizeof head) + object;
  return SUCCESS;
}

int nvrtcGetProgramLogSize(Program* program, size_t* size) {
  if (!programs.count(program)) return INVALID_PROGRAM;
  *size = program->log.size() + 1;
  return SUCCESS;
}

int nvrtcGetProgramLog(Program* program, char* log) {
  if (!programs.count(program)) return INVALID_PROGRAM;
  memcpy(log, program->log.c_str(), program->log.size() + 1);
  return SUCCESS;
}

int nvrtcGetCUBINSize(Program* program, size_t* size) {
  if (!programs.count(program) || program->cubin.empty()) return INVALID_PROGRAM;
  *size = program->cubin.size();
  return SUCCESS;
}

int nvrtcGetCUBIN(Program* program, char* cubin) {
  if (!programs.count(program) || program->cubin.empty()) return INVALID_PROGRAM;
  memcpy(cubin, program->cubin.data(), program->cubin.size());
  return SUCCESS;
}

int nvrtcDestroyProgram(Program** program) {
  if (!programs.erase(*program)) return INVALID_PROGRAM;
  delete *program;
  *program = nullptr;
  return SUCCESS;
}

}  // extern "C"
