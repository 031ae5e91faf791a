#include "onnx/staged_directory.h"

#include <algorithm>
#include <set>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "onnx/writer.h"
#include "onnx_test_support.h"

namespace onnxport::onnx {
namespace {

namespace fs = std::filesystem;

class StagedDirectoryTest : public TemporaryDirectoryTest {
 protected:
  static std::set<std::string> names_in(const fs::path& directory) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory)) names.insert(entry.path().filename());
    return names;
  }

  /// A model in `directory` whose weight lies in `<name>_data`.
  static void write_external_model(const fs::path& directory, const std::string& name) {
    fs::create_directories(directory);
    WriteOptions options;
    options.weights = WeightStorage::External;
    write_model(small_model(from_array(counting({1000}))), directory / name, options);
  }

  static void write_inline_model(const fs::path& directory, const std::string& name) {
    write_model(small_model(from_array(counting({1000}))), directory / name, {});
  }

  using Names = std::set<std::string>;
};

TEST_F(StagedDirectoryTest, IsAHiddenSiblingUntilCommitted) {
  const fs::path destination = directory_ / "out";
  {
    StagedDirectory staged(destination);
    EXPECT_EQ(staged.destination(), destination);
    EXPECT_EQ(staged.path().parent_path(), directory_);
    EXPECT_TRUE(staged.path().filename().string().starts_with(".out.onnxport-"));
    write_file(staged.path() / "config.json", "{}");
    write_file(staged.path() / "unet/model.onnx", "m");
    EXPECT_FALSE(fs::exists(destination));
    staged.commit();
    EXPECT_EQ(read_file(destination / "config.json"), "{}");
    EXPECT_EQ(read_file(destination / "unet/model.onnx"), "m");
  }
  EXPECT_EQ(names_in(directory_), Names{"out"});
}

TEST_F(StagedDirectoryTest, LeavesNothingWithoutCommit) {
  write_file(directory_ / "out/model.onnx", "old");
  {
    StagedDirectory staged(directory_ / "out");
    write_file(staged.path() / "model.onnx", "new");
  }
  EXPECT_EQ(names_in(directory_), Names{"out"});
  EXPECT_EQ(read_file(directory_ / "out/model.onnx"), "old");
}

TEST_F(StagedDirectoryTest, ReplacesItsFilesAndNoOthers) {
  write_file(directory_ / "out/model.onnx", "old");
  write_file(directory_ / "out/notes.txt", "the user's");
  write_file(directory_ / "out/sub/kept", "the user's");
  StagedDirectory staged(directory_ / "out/");
  write_file(staged.path() / "model.onnx", "new");
  write_file(staged.path() / "sub/more", "new");
  staged.commit();
  EXPECT_EQ(read_file(directory_ / "out/model.onnx"), "new");
  EXPECT_EQ(read_file(directory_ / "out/sub/more"), "new");
  EXPECT_EQ(read_file(directory_ / "out/notes.txt"), "the user's");
  EXPECT_EQ(read_file(directory_ / "out/sub/kept"), "the user's");
  EXPECT_EQ(names_in(directory_), Names{"out"});
}

TEST_F(StagedDirectoryTest, CreatesParents) {
  StagedDirectory staged(directory_ / "a/b/c");
  write_file(staged.path() / "x", "1");
  staged.commit();
  EXPECT_EQ(names_in(directory_ / "a/b"), Names{"c"});
}

TEST_F(StagedDirectoryTest, FollowsALinkToTheDestination) {
  fs::create_directory(directory_ / "real");
  fs::create_directory_symlink("real", directory_ / "link");
  StagedDirectory staged(directory_ / "link");
  write_file(staged.path() / "x", "1");
  staged.commit();
  EXPECT_TRUE(fs::is_symlink(directory_ / "link"));
  EXPECT_EQ(read_file(directory_ / "real/x"), "1");
}

TEST_F(StagedDirectoryTest, RemovesStaleDataOfAReplacedModel) {
  const fs::path out = directory_ / "out";
  write_external_model(out, "model.onnx");
  ASSERT_EQ(names_in(out), (Names{"model.onnx", "model.onnx_data"}));
  StagedDirectory staged(out);
  write_inline_model(staged.path(), "model.onnx");
  staged.commit();
  EXPECT_EQ(names_in(out), Names{"model.onnx"});
}

TEST_F(StagedDirectoryTest, KeepsDataThatIsStillUsed) {
  const fs::path out = directory_ / "out";
  write_external_model(out, "model.onnx");
  fs::copy_file(out / "model.onnx", out / "copy.onnx");
  {
    StagedDirectory staged(out);
    write_inline_model(staged.path(), "model.onnx");
    staged.commit();
  }
  EXPECT_EQ(names_in(out), (Names{"copy.onnx", "model.onnx", "model.onnx_data"}));
  {
    StagedDirectory staged(out);
    write_external_model(staged.path(), "model.onnx");
    staged.commit();
  }
  EXPECT_EQ(names_in(out), (Names{"copy.onnx", "model.onnx", "model.onnx_data"}));
}

TEST_F(StagedDirectoryTest, NeverRemovesACheckpointThatAModelRefersTo) {
  const fs::path out = directory_ / "out";
  write_external_model(out, "model.onnx");
  // The same model with its data under a checkpoint's name: both names are 15 bytes long.
  fs::rename(out / "model.onnx_data", out / "pytorch_bin.bin");
  std::string bytes = read_file(out / "model.onnx");
  bytes.replace(bytes.find("model.onnx_data"), 15, "pytorch_bin.bin");
  write_file(out / "model.onnx", bytes);

  StagedDirectory staged(out);
  write_inline_model(staged.path(), "model.onnx");
  staged.commit();
  EXPECT_EQ(names_in(out), (Names{"model.onnx", "pytorch_bin.bin"}));
}

TEST_F(StagedDirectoryTest, AFileThatIsThereAsAnotherLinkStays) {
  const fs::path out = directory_ / "out";
  write_file(out / "model.safetensors", "weights");
  StagedDirectory staged(out);
  fs::create_hard_link(out / "model.safetensors", staged.path() / "model.safetensors");
  staged.commit();
  EXPECT_EQ(read_file(out / "model.safetensors"), "weights");
  EXPECT_EQ(fs::hard_link_count(out / "model.safetensors"), 1U);
  EXPECT_EQ(names_in(directory_), Names{"out"});
}

TEST_F(StagedDirectoryTest, CleansUpAfterDeadProcessesOnly) {
  const fs::path out = directory_ / "out";
  fs::create_directory(out);
  write_file(directory_ / ".out.onnxport-dead01/model.onnx", "left behind");
  write_file(directory_ / ".other.onnxport-dead01/model.onnx", "of another destination");
  const StagedDirectory alive(out);
  EXPECT_EQ(names_in(directory_), (Names{"out", ".other.onnxport-dead01", alive.path().filename().string()}));
  const StagedDirectory second(out);
  EXPECT_TRUE(fs::exists(alive.path()));
  EXPECT_NE(alive.path(), second.path());
}

TEST_F(StagedDirectoryTest, AKilledProcessLeavesOnlyWhatTheNextOneRemoves) {
  const fs::path out = directory_ / "out";
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const StagedDirectory staged(out);
    write_file(staged.path() / "model.onnx", "half");
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(names_in(directory_).size(), 1U);
  EXPECT_FALSE(fs::exists(out));
  { const StagedDirectory staged(out); }
  EXPECT_TRUE(names_in(directory_).empty());
}

TEST_F(StagedDirectoryTest, AFileInPlaceOfTheDestinationIsAnError) {
  write_file(directory_ / "out", "a file");
  const std::string message =
      message_of(ErrorKind::OutputFailed, [&] { const StagedDirectory staged(directory_ / "out"); });
  EXPECT_NE(message.find("Not a directory"), std::string::npos) << message;
}

TEST_F(StagedDirectoryTest, ADirectoryInPlaceOfAFileIsFoundBeforeAnythingMoves) {
  fs::create_directories(directory_ / "out/model.onnx");
  StagedDirectory staged(directory_ / "out");
  write_file(staged.path() / "a.json", "new");
  write_file(staged.path() / "model.onnx", "new");
  message_of(ErrorKind::OutputFailed, [&] { staged.commit(); });
  EXPECT_EQ(names_in(directory_ / "out"), Names{"model.onnx"});
}

/// Root may write everywhere: while this lives the process is somebody else, if it was root.
class OrdinaryUser {
 public:
  OrdinaryUser() {
    if (::geteuid() == 0 && ::seteuid(kNobody) != 0) throw std::runtime_error("root cannot become another user");
  }
  ~OrdinaryUser() {
    if (::getuid() == 0 && ::seteuid(0) != 0) std::abort();
  }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
};

TEST_F(StagedDirectoryTest, LiesInsideTheDestinationWhenTheParentIsReadOnly) {
  fs::permissions(directory_, fs::perms::all);
  {
    const OrdinaryUser user;
    fs::create_directories(directory_ / "parent/out");
    fs::permissions(directory_ / "parent", fs::perms::owner_read | fs::perms::owner_exec);
    {
      StagedDirectory staged(directory_ / "parent/out");
      EXPECT_EQ(staged.path().parent_path(), directory_ / "parent/out");
      write_file(staged.path() / "x", "1");
      staged.commit();
    }
    EXPECT_EQ(names_in(directory_ / "parent/out"), Names{"x"});
    message_of(ErrorKind::OutputFailed, [&] { const StagedDirectory staged(directory_ / "parent/new"); });
    fs::permissions(directory_ / "parent", fs::perms::owner_all);
  }
}

}  // namespace
}  // namespace onnxport::onnx
