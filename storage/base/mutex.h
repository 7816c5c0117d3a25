// SPDX-License-Identifier: Apache-2.0
// std::mutex and std::shared_mutex with clang's thread-safety annotations, so that the compiler
// checks who holds what (-Wthread-safety). Lock order: docs/ARCHITECTURE.md.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#if defined(__clang__)
#define SPILLFS_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define SPILLFS_THREAD_ANNOTATION(x)
#endif
#define SCOPED_LOCKABLE SPILLFS_THREAD_ANNOTATION(scoped_lockable)
#define GUARDED_BY(x) SPILLFS_THREAD_ANNOTATION(guarded_by(x))
#define ACQUIRE(...) SPILLFS_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASE(...) SPILLFS_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define REQUIRES(...) SPILLFS_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) SPILLFS_THREAD_ANNOTATION(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) SPILLFS_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS SPILLFS_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace spillfs {

class SPILLFS_THREAD_ANNOTATION(capability("mutex")) Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  bool try_lock() SPILLFS_THREAD_ANNOTATION(try_acquire_capability(true)) {
    return mutex_.try_lock();
  }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class SPILLFS_THREAD_ANNOTATION(capability("mutex")) SharedMutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  bool try_lock() SPILLFS_THREAD_ANNOTATION(try_acquire_capability(true)) {
    return mutex_.try_lock();
  }
  void lock_shared() SPILLFS_THREAD_ANNOTATION(acquire_shared_capability()) {
    mutex_.lock_shared();
  }
  void unlock_shared() SPILLFS_THREAD_ANNOTATION(release_shared_capability()) {
    mutex_.unlock_shared();
  }

 private:
  std::shared_mutex mutex_;
};

template <class M>
class SCOPED_LOCKABLE ExclusiveLock {
 public:
  explicit ExclusiveLock(M& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~ExclusiveLock() RELEASE() { mutex_.unlock(); }
  ExclusiveLock(const ExclusiveLock&) = delete;
  ExclusiveLock& operator=(const ExclusiveLock&) = delete;

 private:
  M& mutex_;
};

using MutexLock = ExclusiveLock<Mutex>;

class SCOPED_LOCKABLE SharedLock {
 public:
  explicit SharedLock(SharedMutex& mutex)
      SPILLFS_THREAD_ANNOTATION(acquire_shared_capability(mutex))
      : mutex_(mutex) {
    mutex_.lock_shared();
  }
  ~SharedLock() RELEASE() { mutex_.unlock_shared(); }
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;

 private:
  SharedMutex& mutex_;
};

// Waits with the mutex released; may return for no reason, so ask again what was waited for.
class CondVar {
 public:
  void wait(Mutex& mutex) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    wakeup_.wait(lock);
    lock.release();  // the caller still holds it
  }
  std::cv_status wait_for(Mutex& mutex, std::chrono::milliseconds time) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const std::cv_status status = wakeup_.wait_for(lock, time);
    lock.release();
    return status;
  }
  void notify_one() { wakeup_.notify_one(); }
  void notify_all() { wakeup_.notify_all(); }

 private:
  std::condition_variable wakeup_;
};

}  // namespace spillfs
