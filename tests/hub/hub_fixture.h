#pragma once

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/temporary_directory.h"
#include "onnxport/error.h"
#include "onnxport/hub.h"
#include "support/hub_server.h"

namespace onnxport::testing {

namespace fs = std::filesystem;

inline constexpr const char* model_id = "organization/model";
inline const std::string commit(40, 'a');

inline std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Bytes that differ everywhere, so that a misplaced one shows.
inline std::string noise(std::size_t size) {
  std::string text(size, '\0');
  std::uint64_t state = size + 1;
  for (char& c : text) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    c = static_cast<char>(state >> 56);
  }
  return text;
}

inline std::vector<std::string> select_all(const std::vector<HubFile>& files) {
  std::vector<std::string> paths;
  for (const HubFile& file : files) paths.push_back(file.path);
  return paths;
}

class HubTest : public ::testing::Test {
 protected:
  HubTest() {
    for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
                             "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) {
      ::unsetenv(name);
    }
    ::setenv("HF_HOME", (directory_ / "home").c_str(), 1);
    ::setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1", 1);
    HubServerModel& model = server_.models[model_id];
    model.files["config.json"] = {.content = "{\"model_type\": \"bert\"}"};
    model.files["model.safetensors"] = {.content = noise(100'000), .is_large = true};
    model.files["1_Pooling/config.json"] = {.content = "{}"};
    options_.endpoint = server_.url();
    options_.cache_dir = directory_ / "cache";
    options_.retry_delay = std::chrono::milliseconds(1);
  }
  fs::path download(const HubFileSelection& selection = select_all) {
    return download_model(model_id, selection, options_);
  }

  std::string refusal(const HubFileSelection& selection = select_all) {
    try {
      download(selection);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::HubFailed);
      return error.what();
    }
    ADD_FAILURE() << "nothing was refused";
    return {};
  }

  void expect_complete(const fs::path& snapshot) {
    for (const auto& [path, file] : server_.models[model_id].files) {
      EXPECT_TRUE(read(snapshot / path) == file.content) << path;
    }
  }

  /// Names below the cache that are not what huggingface_hub has there.
  std::vector<std::string> leftovers() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(directory_ / "cache")) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".segments") || name.ends_with(".journal") || name.ends_with(".tmp")) names.push_back(name);
    }
    return names;
  }

  HubServer server_;
  const TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
  HubOptions options_;
};

}  // namespace onnxport::testing
