// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/size_history.h"

namespace spillfs::fs {

void SizeHistory::note(const Home& home, bool large) {
  MutexLock lock(mutex_);
  note_in(inside_, home.directory, large);
  note_in(below_, home.parent, large);
}

bool SizeHistory::expects_large(const Home& home) const {
  MutexLock lock(mutex_);
  const Place* known = find(inside_, home.directory);
  const bool is_root = home.parent == home.directory;
  if (known == nullptr && !is_root) known = find(below_, home.parent);
  return known != nullptr && known->large_in_a_row >= kEnough;
}

void SizeHistory::note_in(Places& places, InodeId directory, bool large) {
  Place& place = places.at(number(directory) % kPlaces);
  if (place.directory != directory) place = {.directory = directory};
  place.large_in_a_row = large ? place.large_in_a_row + 1 : 0;
}

const SizeHistory::Place* SizeHistory::find(const Places& places, InodeId directory) {
  const Place& place = places.at(number(directory) % kPlaces);
  return place.directory == directory ? &place : nullptr;
}

}  // namespace spillfs::fs
