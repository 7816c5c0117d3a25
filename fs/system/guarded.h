// SPDX-License-Identifier: Apache-2.0
// Where exceptions end: what throws here is the standard library, which lacks memory or threads.
#pragma once

#include <cerrno>
#include <exception>
#include <new>
#include <string>
#include <system_error>

#include "storage/base/result.h"

namespace spillfs::fs {

// What `call` returns; an exception becomes an Error here.
template <class Call>
auto guarded(Call& call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM, "out of memory");
  } catch (const std::system_error& error) {
    return fail(error.code().value(), error.what());
  } catch (const std::exception& exception) {
    return fail(EIO, std::string("exception: ") + exception.what());
  }
}

}  // namespace spillfs::fs
