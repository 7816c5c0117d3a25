// SPDX-License-Identifier: Apache-2.0
#include "index/rocksdb_options.h"

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/merge_operator.h>
#include <rocksdb/sst_file_manager.h>
#include <rocksdb/table.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <string_view>
#include <utility>

#include "index/codec.h"
#include "storage/base/bytes.h"

namespace spillfs::index {
namespace {

constexpr std::uint64_t kWriteBuffer = 4 * kMiB;
constexpr std::uint64_t kAllWriteBuffers = 24 * kMiB;
constexpr std::uint64_t kWalLimit = 16 * kMiB;  // what a start replays at most

spdlog::level::level_enum level_of(rocksdb::InfoLogLevel level) {
  switch (level) {
    case rocksdb::FATAL_LEVEL:
      return spdlog::level::critical;
    case rocksdb::ERROR_LEVEL:
      return spdlog::level::err;
    case rocksdb::WARN_LEVEL:
      return spdlog::level::warn;
    default:
      return spdlog::level::debug;
  }
}

class SpdlogLogger final : public rocksdb::Logger {
 public:
  SpdlogLogger() : Logger(rocksdb::WARN_LEVEL) {}
  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    Logv(rocksdb::InfoLogLevel::INFO_LEVEL, format, arguments);
  }
  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (level < GetInfoLogLevel()) return;
    std::array<char, 1024> line{};
    // RocksDB's interface is printf's.
    std::vsnprintf(line.data(), line.size(), format, arguments);  // NOLINT
    std::string_view text(line.data());
    while (text.ends_with('\n') || text.ends_with(' ')) text.remove_suffix(1);
    spdlog::log(level_of(level), "rocksdb: {}", shown(std::string(text)));
  }
};

// Adds a CounterRow to the one at a value's end.
class AddCounters final : public rocksdb::MergeOperator {
 public:
  bool FullMergeV2(const MergeOperationInput& in, MergeOperationOutput* out) const override {
    out->new_value = in.existing_value != nullptr ? in.existing_value->ToString()
                                                  : encode(CounterRow{.first = 0, .second = 0});
    for (const rocksdb::Slice& operand : in.operand_list) {
      if (!add_counters(out->new_value, operand.ToStringView())) return false;
    }
    return true;
  }
  bool PartialMerge(const rocksdb::Slice& /*key*/, const rocksdb::Slice& left,
                    const rocksdb::Slice& right, std::string* sum,
                    rocksdb::Logger* /*logger*/) const override {
    *sum = left.ToString();
    return add_counters(*sum, right.ToStringView());
  }
  [[nodiscard]] const char* Name() const override { return "spillfs.AddCounters"; }
};

}  // namespace

rocksdb::DBOptions database_options(rocksdb::Env& env) {
  rocksdb::DBOptions options;
  options.env = &env;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.max_total_wal_size = kWalLimit;
  options.db_write_buffer_size = kAllWriteBuffers;
  options.max_background_jobs = 2;
  options.max_open_files = 256;
  options.bytes_per_sync = kMiB;
  options.info_log = std::make_shared<SpdlogLogger>();
  options.stats_dump_period_sec = 0;
  options.sst_file_manager.reset(rocksdb::NewSstFileManager(&env));
  // Bugs of 7.8 that later versions fixed: these stay off.
  options.manual_wal_flush = false;
  options.recycle_log_file_num = 0;
  options.wal_compression = rocksdb::kNoCompression;
  return options;
}

std::shared_ptr<rocksdb::Cache> make_block_cache(std::uint64_t bytes) {
  return rocksdb::NewLRUCache(bytes);
}

rocksdb::ColumnFamilyOptions family_options(const std::shared_ptr<rocksdb::Cache>& block_cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = block_cache;
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.format_version = 5;
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = kWriteBuffer;
  options.memtable_prefix_bloom_size_ratio =
      0.02;  // of whole keys: a new name is looked for thrice
  options.memtable_whole_key_filtering = true;
  options.max_write_buffer_number = 3;
  options.target_file_size_base = 16 * kMiB;
  options.max_bytes_for_level_base = 64 * kMiB;
  options.compression = rocksdb::kNoCompression;
  options.level_compaction_dynamic_level_bytes = true;
  options.merge_operator = std::make_shared<AddCounters>();
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

std::string shown(std::string text) {
  static constexpr std::string_view kDescriptor = "/proc/self/fd/";
  for (std::size_t at = 0; (at = text.find(kDescriptor, at)) != std::string::npos;) {
    const std::size_t end = text.find_first_not_of("0123456789", at + kDescriptor.size());
    text.replace(at, std::min(end, text.size()) - at, "index");
  }
  return text;
}

Failure failure_of(const rocksdb::Status& status, const std::string& doing, Where where) {
  const std::string context = doing + ": " + shown(status.ToString());
  if (status.IsNoSpace()) return fail(ENOSPC, context, where);
  switch (status.code()) {
    case rocksdb::Status::kNotFound:
      return fail(ENOENT, context, where);
    case rocksdb::Status::kBusy:
    case rocksdb::Status::kTryAgain:
      return fail(EBUSY, context, where);
    case rocksdb::Status::kInvalidArgument:
      return fail(EINVAL, context, where);
    default:
      return fail(EIO, context, where);
  }
}

}  // namespace spillfs::index
