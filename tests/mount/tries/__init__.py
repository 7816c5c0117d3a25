# SPDX-License-Identifier: Apache-2.0
"""What users reported of other file systems and runtimes, as something to try in a directory."""
