/*
 * The node table. A new virtual file is a row here, an entry in the list of its directory, and a function that shows it.
 */
#include "fs/tree.h"

#include "fs/control.h"
#include "fs/dirs.h"
#include "fs/present.h"
#include "fs/show.h"

#define ENTRIES(...)                                                                                                               \
        (const struct node_type *const[])                                                                                          \
        {                                                                                                                          \
                __VA_ARGS__, NULL                                                                                                  \
        }
#define FILE_ROW(file, from, ...) (&(const struct node_type){ .name = (file), .kind = NODE_FILE, .sources = (from), __VA_ARGS__ })
#define DIR_ROW(dir, from, ...) (&(const struct node_type){ .name = (dir), .kind = NODE_DIR, .sources = (from), __VA_ARGS__ })
#define STREAM_ROW(stream)                                                                                                         \
        (&(const struct node_type){ .name = (stream), .kind = NODE_STREAM, .sources = FROM_DATABASE, .present = is_not_private })
#define LIVE_ROW(file, from, ...)                                                                                                  \
        (&(const struct node_type){                                                                                                \
                .name = (file), .kind = NODE_LIVE, .sources = FROM_DATABASE | (from), .viewless = true, __VA_ARGS__ })
#define SIZED_ROW(file, bytes, from, ...)                                                                                          \
        (&(const struct node_type){                                                                                                \
                .name = (file), .kind = NODE_LIVE, .size = (bytes), .sources = FROM_DATABASE | (from), __VA_ARGS__ })
#define WRITABLE_ROW(file, from, ...)                                                                                              \
        (&(const struct node_type){ .name = (file), .kind = NODE_CONTROL, .sources = FROM_DATABASE | (from), __VA_ARGS__ })

/* A control is named like the operation that it runs. */
#define CONTROL_ROW(control, ...)                                                                                                  \
        WRITABLE_ROW(control, FROM_RUNS | FROM_HISTORY, .show = show_control, .store = store_operation, .operation = (control),    \
                     __VA_ARGS__)
#define ROOT_CONTROL(control, ...) CONTROL_ROW(control, .viewless = true, __VA_ARGS__)
#define COLLECTION_CONTROL(control) CONTROL_ROW(control, .present = is_collection)

/* A setting shows its value, and what is written to it is an option of the operation `configure`. */
#define SETTING_ROW(setting, ...)                                                                                                  \
        WRITABLE_ROW(setting, FROM_DATABASE, .store = store_setting, .operation = "configure", __VA_ARGS__)
#define LINK_ROW(link, ...)                                                                                                        \
        {                                                                                                                          \
                .name = (link), .kind = NODE_LINK, .sources = FROM_DATABASE, __VA_ARGS__                                           \
        }
#define DYNAMIC(functions) .list = functions##_list, .find = functions##_find

/* segments/<segment id>/ */

const struct node_type tree_segment_file = { .name = "<file>", .kind = NODE_RAW, .sources = FROM_NOTHING };
static const struct node_type segment_collection_link =
        LINK_ROW("collection", .show = show_link_to_collection, .present = has_collection);

#define SEGMENT_VALUE(value) FILE_ROW(value, FROM_DATABASE | FROM_INDEX, .show = show_segment_value, .present = has_segment_value)

const struct node_type tree_segment = {
        .name = "<segment id>",
        .kind = NODE_DIR,
        .present = is_segment,
        .sources = FROM_DATABASE | FROM_INDEX,
        .entries = ENTRIES(FILE_ROW("info.json", FROM_DATABASE | FROM_INDEX, .show = show_segment_info), SEGMENT_VALUE("type"),
                           SEGMENT_VALUE("scope"), SEGMENT_VALUE("max_seq_id"), SEGMENT_VALUE("wal_gap"), SEGMENT_VALUE("size"),
                           SEGMENT_VALUE("fragmentation"), SEGMENT_VALUE("dimension"),
                           FILE_ROW("labels", FROM_DATABASE | FROM_INDEX, .show = show_labels, .present = has_labels),
                           SIZED_ROW("check.json", CHECK_SIZE, FROM_INDEX, .show = show_check, .present = has_check),
                           &segment_collection_link,
                           DIR_ROW("files", FROM_DATABASE | FROM_INDEX, DYNAMIC(segment_files), .present = has_files)),
};

const struct node_type tree_segment_link = LINK_ROW("<segment id>", .show = show_link_to_segment);

/* collections/<entry>/ */

#define PARAMETER(parameter) SETTING_ROW(parameter, .show = show_parameter, .present = has_parameter)
#define FIXED_PARAMETER(parameter)                                                                                                 \
        FILE_ROW(parameter, FROM_DATABASE, .show = show_parameter, .present = has_parameter,                                       \
                 .refusal =                                                                                                        \
                         "an index has this parameter from its beginning to its end; only building it anew (rebuild-hnsw) gives "  \
                         "it another one")

const struct node_type tree_collection = {
        .name = "<collection>",
        .kind = NODE_DIR,
        .present = is_collection,
        .sources = FROM_DATABASE | FROM_COLLECTION_INDEX,
        .entries = ENTRIES(
                FILE_ROW("info.json", FROM_DATABASE | FROM_COLLECTION_INDEX, .show = show_collection_info), STREAM_ROW("wal.jsonl"),
                COLLECTION_CONTROL("commit"), COLLECTION_CONTROL("clean"), COLLECTION_CONTROL("rebuild-hnsw"),
                DIR_ROW("config", FROM_DATABASE, .present = is_collection,
                        .entries = ENTRIES(FIXED_PARAMETER("space"), FIXED_PARAMETER("m"), FIXED_PARAMETER("ef_construction"),
                                           PARAMETER("ef_search"), PARAMETER("num_threads"), PARAMETER("resize_factor"),
                                           PARAMETER("batch_size"), PARAMETER("sync_threshold"))),
                DIR_ROW("segments", FROM_DATABASE, DYNAMIC(collection_segments), .present = is_collection)),
};

/* by-id/, tenants/, orphans/ */

const struct node_type tree_id_link = LINK_ROW("<collection id>", .show = show_link_to_collection);
const struct node_type tree_collection_link = LINK_ROW("<collection>", .show = show_link_to_collection);
const struct node_type tree_database = {
        .name = "<database>", .kind = NODE_DIR, .present = is_database, .sources = FROM_DATABASE, DYNAMIC(database)
};
const struct node_type tree_tenant = {
        .name = "<tenant>", .kind = NODE_DIR, .present = is_tenant, .sources = FROM_DATABASE, DYNAMIC(tenant)
};
const struct node_type tree_orphan = {
        .name = "<orphan>",
        .kind = NODE_DIR,
        .present = is_orphan,
        .sources = FROM_DIRECTORY | FROM_TREE,
        .entries = ENTRIES(FILE_ROW("info.json", FROM_DATABASE | FROM_DIRECTORY | FROM_TREE, .show = show_orphan_info)),
};

const struct node_type tree_root = {
        .name = "",
        .kind = NODE_DIR,
        .sources = FROM_DATABASE | FROM_DIRECTORY,
        .entries = ENTRIES(
                FILE_ROW("README", FROM_NOTHING, .show = show_readme, .viewless = true),
                FILE_ROW("info.json", FROM_DATABASE | FROM_DIRECTORY | FROM_INDEXES | FROM_ORPHANS | FROM_ALL,
                         .show = show_root_info, .viewless = true),
                STREAM_ROW("wal.jsonl"), LIVE_ROW("status.json", FROM_PROGRESS | FROM_RUNS | FROM_HISTORY, .show = show_status),
                LIVE_ROW("last_error", FROM_REFUSALS, .show = show_last_error),
                LIVE_ROW("history.jsonl", FROM_HISTORY_FILE, .show = show_history, .present = is_not_private),
                WRITABLE_ROW("cancel", FROM_DATABASE, .show = show_cancel, .store = store_cancel, .viewless = true),
                ROOT_CONTROL("commit", .takes_skip = true), ROOT_CONTROL("clean", .takes_skip = true), ROOT_CONTROL("rebuild-fts"),
                ROOT_CONTROL("clean-orphans"), ROOT_CONTROL("backup", .as_writer = true),
                DIR_ROW("config", FROM_DATABASE,
                        .entries =
                                ENTRIES(SETTING_ROW("automatically_purge", .show = show_automatically_purge, .present = has_purge),
                                        FILE_ROW("fts_tokenizer", FROM_DATABASE, .show = show_fts_tokenizer, .present = has_fts))),
                DIR_ROW("orphans", FROM_DATABASE | FROM_DIRECTORY, DYNAMIC(orphans)),
                DIR_ROW("tenants", FROM_DATABASE, DYNAMIC(tenants), .present = is_not_private, .viewless = true),
                DIR_ROW("by-id", FROM_DATABASE, DYNAMIC(by_id)), DIR_ROW("collections", FROM_DATABASE, DYNAMIC(collections)),
                DIR_ROW("segments", FROM_DATABASE, DYNAMIC(segments))),
};
