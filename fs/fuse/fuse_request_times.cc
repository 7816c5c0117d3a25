// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_request_times.h"

#include <algorithm>

#include "fs/fuse/fuse_opcodes.h"
#include "fs/fuse/fuse_protocol.h"

namespace spillfs::fs {
namespace {

thread_local RequestTimes::Request* served_here = nullptr;

Bytes bytes_of_part(const iovec& part) {
  return {static_cast<const std::byte*>(part.iov_base), part.iov_len};
}

bool is_answered(std::uint32_t opcode) {
  return opcode != protocol::kForget && opcode != protocol::kBatchForget &&
         opcode != protocol::kInterrupt && opcode != protocol::kNotifyReply;
}

// What a read or a write says of itself; meaningless of all others.
std::uint64_t bytes_in(std::span<const iovec> reply, const protocol::OutHeader& header) {
  if (reply.size() > 1 && reply[1].iov_len == sizeof(protocol::WriteOut)) {
    return load<protocol::WriteOut>(bytes_of_part(reply[1])).size;
  }
  return header.len - sizeof(header);
}

}  // namespace

RequestTimes::Request::Request(RequestTimes& times, Bytes raw, Counted counted)
    : times_(times), counted_(counted) {
  const auto header = load<protocol::InHeader>(raw);
  unique_ = header.unique;
  opcode_ = std::min<std::uint32_t>(header.opcode, kOpcodes - 1);
  served_here = this;
}

RequestTimes::Request::~Request() {
  served_here = nullptr;
  if (!answered_ && is_answered(opcode_)) times_.wait_for_answer(*this);
}

void RequestTimes::wait_for_answer(const Request& request) {
  const Asked asked{.opcode = request.opcode_, .counted = request.counted_, .at = request.begin_};
  MutexLock lock(mutex_);
  const auto early = early_.extract(request.unique_);
  if (early.empty()) {
    waiting_.emplace(request.unique_, asked);
  } else {
    count(asked, early.mapped());
  }
}

void RequestTimes::answered(std::span<const iovec> reply) {
  const auto header = load<protocol::OutHeader>(bytes_of_part(reply.front()));
  if (header.unique == 0) return;  // a notification
  const Answer answer{.error = -header.error, .bytes = bytes_in(reply, header), .at = Clock::now()};
  Request* const here = served_here;
  if (here != nullptr && &here->times_ == this && here->unique_ == header.unique) {
    here->answered_ = true;
    return count({.opcode = here->opcode_, .counted = here->counted_, .at = here->begin_}, answer);
  }
  MutexLock lock(mutex_);
  const auto asked = waiting_.extract(header.unique);
  if (asked.empty()) {
    early_.emplace(header.unique, answer);
  } else {
    count(asked.mapped(), answer);
  }
}

void RequestTimes::count(const Asked& asked, const Answer& answer) {
  if (asked.counted == Counted::kNo) return;
  latencies_.at(asked.opcode).add(answer.at - asked.at);
  if (answer.error != 0) {
    const auto error = static_cast<std::size_t>(answer.error);
    errors_.at(asked.opcode)
        .at(error < kErrors ? error : 0)
        .fetch_add(1, std::memory_order_relaxed);
  } else if (asked.opcode == protocol::kRead) {
    bytes_read_.fetch_add(answer.bytes, std::memory_order_relaxed);
  } else if (asked.opcode == protocol::kWrite) {
    bytes_written_.fetch_add(answer.bytes, std::memory_order_relaxed);
  }
}

std::vector<RequestTimes::Latencies> RequestTimes::latencies() const {
  std::vector<Latencies> out;
  for (std::uint32_t opcode = 0; opcode < kOpcodes; ++opcode) {
    const auto counts = latencies_.at(opcode).counts();
    if (counts.count() != 0) out.push_back({.opcode = opcode, .counts = counts});
  }
  return out;
}

std::vector<RequestTimes::Errors> RequestTimes::errors() const {
  std::vector<Errors> out;
  for (std::uint32_t opcode = 0; opcode < kOpcodes; ++opcode) {
    for (std::size_t error = 0; error < kErrors; ++error) {
      const std::uint64_t count = errors_.at(opcode).at(error).load(std::memory_order_relaxed);
      if (count == 0) continue;
      out.push_back({.opcode = opcode, .error = static_cast<int>(error), .count = count});
    }
  }
  return out;
}

std::size_t RequestTimes::waiting() {
  MutexLock lock(mutex_);
  return waiting_.size();
}

}  // namespace spillfs::fs
