#include "tests/faults/site.h"

#include <execinfo.h>
#include <link.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define MODULES 64
#define SKIPPED 1 /* site_frames() itself */

static struct {
        uintptr_t base, end;
        char name[128];
} modules[MODULES];
static int module_count;

static int add_module(struct dl_phdr_info *info, size_t size, void *context)
{
        (void) size;
        (void) context;
        if (module_count == MODULES)
                return 1;
        modules[module_count].base = info->dlpi_addr;
        for (int i = 0; i < info->dlpi_phnum; i++) {
                uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
                if (info->dlpi_phdr[i].p_type == PT_LOAD && end > modules[module_count].end)
                        modules[module_count].end = end;
        }
        (void) snprintf(modules[module_count].name, sizeof(modules[0].name), "%s", info->dlpi_name);
        module_count++;
        return 0;
}

void site_init(void)
{
        void *frames[2];
        (void) backtrace(frames, 2); /* loads what it needs */
        (void) dl_iterate_phdr(add_module, NULL);
}

static int module_of(uintptr_t address)
{
        for (int i = 0; i < module_count; i++)
                if (address >= modules[i].base && address < modules[i].end)
                        return i;
        return -1;
}

int site_frames(void **frames, int size)
{
        void *all[64];
        int count = backtrace(all, size + SKIPPED < 64 ? size + SKIPPED : 64) - SKIPPED;
        if (count <= 0)
                return 0;
        memcpy(frames, all + SKIPPED, (size_t) count * sizeof(*frames));
        return count;
}

uint64_t site_hash(void *const *frames, int count)
{
        uint64_t parts[2 * 64];
        for (int i = 0; i < count; i++) {
                int module = module_of((uintptr_t) frames[i]);
                parts[2 * i] = (uint64_t) module;
                parts[2 * i + 1] = (uintptr_t) frames[i] - (module < 0 ? 0 : modules[module].base);
        }
        return XXH3_64bits(parts, (size_t) count * 2 * sizeof(*parts));
}

bool site_is_of(void *const *frames, int count, const char *library)
{
        for (int i = 1; i < count; i++) {
                int module = module_of((uintptr_t) frames[i]);
                if (module >= 0 && strstr(modules[module].name, "libc.so") == NULL)
                        return strstr(modules[module].name, library) != NULL;
        }
        return false;
}

/* addr2line is asked; without it the offset remains, which is enough to ask it elsewhere. */
static void print_frame(FILE *out, uintptr_t address)
{
        int module = module_of(address);
        if (module < 0 || modules[module].name[0] != '\0') {
                (void) fprintf(out, "        %s+0x%zx\n", module < 0 ? "?" : modules[module].name,
                               (size_t) (address - (module < 0 ? 0 : modules[module].base)));
                return;
        }
        char command[512], line[512] = "";
        (void) snprintf(command, sizeof(command), "addr2line -fpse /proc/%d/exe 0x%zx 2>/dev/null", (int) getpid(),
                        (size_t) (address - 1 - modules[module].base));
        FILE *pipe = popen(command, "r");
        if (pipe != NULL) {
                (void) !fgets(line, sizeof(line), pipe);
                (void) pclose(pipe);
        }
        line[strcspn(line, "\n")] = '\0';
        (void) fprintf(out, "        0x%zx %s\n", (size_t) (address - modules[module].base), line);
}

void site_print(FILE *out, void *const *frames, int count)
{
        for (int i = 0; i < count; i++)
                print_frame(out, (uintptr_t) frames[i]);
}
