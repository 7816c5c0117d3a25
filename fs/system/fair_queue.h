// SPDX-License-Identifier: Apache-2.0
// A queue of many users' work: each user's comes out in order, and the users take turns, so that no
// user waits for all that another has put in. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

namespace spillfs::fs {

template <class Item>
class FairQueue {
 public:
  void push(uid_t user, Item item) {
    std::deque<Item>& own = users_[user];
    try {
      own.push_back(std::move(item));
    } catch (...) {
      if (own.empty()) users_.erase(user);
      throw;
    }
  }
  // Before all that the user has in it.
  void push_front(uid_t user, Item item) { users_[user].push_front(std::move(item)); }

  // The first item of the user whose turn it is.
  std::optional<std::pair<uid_t, Item>> pop() {
    return pop_if([](uid_t, const Item&) { return true; });
  }

  // As pop(); a user whose first item is none that `may(user, item)` admits misses the turn.
  template <class May>
  std::optional<std::pair<uid_t, Item>> pop_if(const May& may) {
    auto turn = latest_ ? users_.upper_bound(*latest_) : users_.begin();
    for (std::size_t looked = 0; looked < users_.size(); ++looked, ++turn) {
      if (turn == users_.end()) turn = users_.begin();
      if (!may(turn->first, turn->second.front())) continue;
      latest_ = turn->first;
      std::pair<uid_t, Item> taken(turn->first, std::move(turn->second.front()));
      turn->second.pop_front();
      if (turn->second.empty()) users_.erase(turn);
      return taken;
    }
    return std::nullopt;
  }

  [[nodiscard]] bool empty() const { return users_.empty(); }
  [[nodiscard]] std::size_t count_of(uid_t user) const {
    const auto found = users_.find(user);
    return found == users_.end() ? 0 : found->second.size();
  }

 private:
  std::map<uid_t, std::deque<Item>> users_;  // none without items
  std::optional<uid_t> latest_;              // whose turn was last
};

}  // namespace spillfs::fs
