// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/clients.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "fs/system/process_status.h"

namespace spillfs::fs {
namespace {

std::size_t number_of_this_thread() {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t mine = next++;
  return mine;
}

// FUSE tells the thread. One that has ended stands for itself.
pid_t process_or_thread(pid_t thread) {
  const pid_t process = process_of(thread);
  return process == 0 ? thread : process;
}

std::string command_of(pid_t process) {
  std::string name;
  std::ifstream file(fmt::format("/proc/{}/comm", process));
  std::getline(file, name);
  return name;
}

}  // namespace

void Clients::count(pid_t process) {
  Table& table = tables_.at(number_of_this_thread() % kTables);
  MutexLock lock(table.mutex);
  count_in(table, process);
}

void Clients::count_in(Table& table, pid_t process) {
  const std::span used = std::span(table.clients).first(table.used);
  const auto found =
      std::find_if(used.begin(), used.end(), [&](const Client& c) { return c.process == process; });
  if (found != used.end()) {
    ++found->requests;
    // The busy come to be found first.
    if (found != used.begin()) std::swap(*found, *std::prev(found));
    return;
  }
  if (table.used < kTracked) {
    table.clients.at(table.used++) = {.process = process, .requests = 1, .surplus = 0};
    return;
  }
  const auto least =
      std::min_element(used.begin(), used.end(),
                       [](const Client& a, const Client& b) { return a.requests < b.requests; });
  *least = {.process = process, .requests = least->requests + 1, .surplus = least->requests};
}

std::vector<Clients::Client> Clients::busiest() {
  std::map<pid_t, Client> all;
  for (Table& table : tables_) {
    MutexLock lock(table.mutex);
    for (const Client& client : std::span(table.clients).first(table.used)) {
      Client& sum = all[client.process];
      sum.process = client.process;
      sum.requests += client.requests;
      sum.surplus += client.surplus;
    }
  }
  std::vector<Client> out;
  for (const auto& [process, client] : all) out.push_back(client);
  std::sort(out.begin(), out.end(),
            [](const Client& a, const Client& b) { return a.requests > b.requests; });
  if (out.size() > kTracked) out.resize(kTracked);
  return out;
}

std::string clients_text(Clients& clients) {
  std::map<pid_t, Clients::Client> processes;
  for (const Clients::Client& thread : clients.busiest()) {
    Clients::Client& sum = processes[process_or_thread(thread.process)];
    sum.requests += thread.requests;
    sum.surplus += thread.surplus;
  }
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [process, sum] : processes) {
    list.push_back({{"pid", process},
                    {"command", command_of(process)},
                    {"requests", sum.requests},
                    {"surplus", sum.surplus}});
  }
  return list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace spillfs::fs
