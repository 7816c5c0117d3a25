// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>

#include "fs/cli/commands.h"
#include "fs/cli/shared/external.h"
#include "storage/external/replaced_file.h"

namespace spillfs::fs {
namespace {

using nlohmann::json;
using storage::external::BeneathDirectory;
using storage::external::BufferReader;
using storage::external::ReplacedFile;
using storage::external::RestoredObject;

constexpr std::size_t kChunk = 4 * kMiB;  // bytes in memory at a time

// Copies each object to where it goes, chunk by chunk.
class CopyingSink : public storage::external::ObjectSink {
 public:
  explicit CopyingSink(Progress* progress) : progress_(progress), buffer_(kChunk) {}

 protected:
  virtual Result<> write(Bytes bytes) = 0;

  Result<> copy(BufferReader& from) {
    for (;;) {
      SPILLFS_TRY(Interruption::check());
      const std::size_t got = SPILLFS_TRY(from.read(buffer_));
      if (got == 0) return {};
      SPILLFS_TRY(write(Bytes(buffer_).first(got)));
      if (progress_ != nullptr) progress_->add(got);
    }
  }

 private:
  Progress* const progress_;
  std::vector<std::byte> buffer_;
};

class StreamSink final : public CopyingSink {
 public:
  StreamSink(std::ostream& out, Progress* progress) : CopyingSink(progress), out_(out) {}

  Result<> put(const RestoredObject&, BufferReader& buffer) override {
    SPILLFS_TRY(copy(buffer));
    if (!out_.flush()) return fail(EIO, "write to standard output");
    return {};
  }

 private:
  Result<> write(Bytes bytes) override {
    const std::string_view text = as_text(bytes);
    if (!out_.write(text.data(), static_cast<std::streamsize>(text.size()))) {
      return fail(EIO, "write to standard output");
    }
    return {};
  }

  std::ostream& out_;
};

// Writes DIR/0, DIR/1, …; a file that does not become whole is not there.
class DirectorySink final : public CopyingSink {
 public:
  DirectorySink(BeneathDirectory directory, Progress* progress)
      : CopyingSink(progress), directory_(std::move(directory)) {}

  Result<> put(const RestoredObject& object, BufferReader& buffer) override {
    file_.emplace(SPILLFS_TRY(ReplacedFile::create(directory_, std::to_string(objects.size()))));
    auto done = copy(buffer);
    if (done) done = file_->finish();
    if (done) {
      objects.push_back({{"path", file_->path()},
                         {"length", object.length},
                         {"owner_address", base64(object.owner_address)},
                         {"metadata", base64(object.metadata)}});
    }
    file_.reset();
    return done;
  }

  json objects = json::array();  // what came back

 private:
  Result<> write(Bytes bytes) override { return file_->write(bytes); }

  const BeneathDirectory directory_;
  std::optional<ReplacedFile> file_;  // while it is written
};

Result<std::uint64_t> restore(storage::external::ExternalStorage& storage,
                              const RestoreCommand& command, Progress* progress, Streams streams) {
  const std::vector<std::string> refs(command.urls.size());
  if (command.to_stdout) {
    StreamSink sink(streams.out, progress);
    return storage.restore_spilled_objects(refs, command.urls, sink);
  }
  if (::mkdir(command.directory.c_str(), 0777) != 0 && errno != EEXIST) {
    return fail_errno(errno, "make " + command.directory);
  }
  DirectorySink sink(SPILLFS_TRY(BeneathDirectory::open(command.directory)), progress);
  const auto total = SPILLFS_TRY(storage.restore_spilled_objects(refs, command.urls, sink));
  if (command.json) {
    const json document{{"bytes", total}, {"objects", std::move(sink.objects)}};
    streams.out << document.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  }
  return total;
}

}  // namespace

ExitCode run_restore(const RestoreCommand& command, Streams streams) {
  const auto size = size_of(command.urls);
  if (!size) return report(size.error(), kExitUsage, streams);
  const Interruption interruption;
  const auto opened = open_storage(command.storage, streams);
  if (opened.storage == nullptr) return opened.code;
  Result<std::uint64_t> total;
  {
    Progress progress(streams.err, "restored", *size);
    total = restore(*opened.storage, command, command.progress ? &progress : nullptr, streams);
  }
  if (!total) return report(total.error(), kExitExternal, streams);
  streams.err << fmt::format("{} bytes restored\n", *total);
  return kExitSuccess;
}

}  // namespace spillfs::fs
