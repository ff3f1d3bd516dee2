#include "ops/topic.h"

#include <string.h>

#include "ops/pieces.h"

bool topic_collection_id(sqlite3_stmt *stmt, int column, const char **ret, size_t *ret_len)
{
        const char *bytes;
        size_t len;
        if (sqlite3_column_type(stmt, column) != SQLITE_TEXT || !column_bytes(stmt, column, &bytes, &len))
                return false;
        const char *slash = memrchr(bytes, '/', len);
        if (slash == NULL)
                return false;
        *ret = slash + 1;
        *ret_len = len - (size_t) (slash + 1 - bytes);
        return true;
}
