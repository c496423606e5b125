// Clang's thread-safety attributes under our own names; nothing on other compilers.
// `make tidy` compiles the core with -Werror=thread-safety, so the locking story cannot rot.
#pragma once

#if defined(__clang__)
#define MAAS_ATTRIBUTE(x) __attribute__((x))
#else
#define MAAS_ATTRIBUTE(x)
#endif

#define MAAS_CAPABILITY(x) MAAS_ATTRIBUTE(capability(x))
#define MAAS_SCOPED_CAPABILITY MAAS_ATTRIBUTE(scoped_lockable)
#define MAAS_GUARDED_BY(x) MAAS_ATTRIBUTE(guarded_by(x))
#define MAAS_PT_GUARDED_BY(x) MAAS_ATTRIBUTE(pt_guarded_by(x))
#define MAAS_REQUIRES(...) MAAS_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define MAAS_ACQUIRE(...) MAAS_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define MAAS_RELEASE(...) MAAS_ATTRIBUTE(release_capability(__VA_ARGS__))
#define MAAS_EXCLUDES(...) MAAS_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define MAAS_RETURN_CAPABILITY(x) MAAS_ATTRIBUTE(lock_returned(x))
#define MAAS_NO_THREAD_SAFETY_ANALYSIS MAAS_ATTRIBUTE(no_thread_safety_analysis)
