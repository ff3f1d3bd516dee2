/*
 * What single columns of a row say: of which collection it is, and when it was made.
 */
#include <string.h>
#include <xxhash.h>

#include "ops/wal/row.h"

enum { TOPIC_MAX = 1024, SECONDS_PER_DAY = 86400 };

uint64_t wal_collection_key(const char *id, size_t len)
{
        uint64_t key = XXH3_64bits(len > 0 ? id : "", len);
        return key != WAL_KEY_NONE ? key : 1;
}

uint64_t wal_row_key(const struct wal_row *row)
{
        const struct wal_value *topic = &row->columns[WAL_TOPIC];
        if (topic->class != WAL_TEXT || topic->bytes == NULL || topic->len > TOPIC_MAX)
                return WAL_KEY_NONE;
        const char *end = topic->bytes + topic->len, *slash = memrchr(topic->bytes, '/', (size_t) topic->len);
        return slash != NULL ? wal_collection_key(slash + 1, (size_t) (end - slash) - 1) : WAL_KEY_NONE;
}

/* Reads `count` digits at `at`; -1 when they are none. */
static int digits(const char *bytes, size_t at, size_t count)
{
        int number = 0;
        for (size_t i = at; i < at + count; i++) {
                if (bytes[i] < '0' || bytes[i] > '9')
                        return -1;
                number = number * 10 + (bytes[i] - '0');
        }
        return number;
}

static bool is_leap(int year)
{
        return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970-01-01 to a date from 1970 on; -1 when it is none. */
static int64_t days_until(int year, int month, int day)
{
        static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365 };
        if (year < 1970 || month < 1 || month > 12 || day < 1)
                return -1;
        int february = is_leap(year) ? 1 : 0;
        if (day > before[month] - before[month - 1] + (month == 2 ? february : 0))
                return -1;
        int leaps = (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 - 477; /* from 1970 to the year before */
        return (int64_t) (year - 1970) * 365 + leaps + before[month - 1] + (month > 2 ? february : 0) + day - 1;
}

/* What stands between the numbers, and behind them: nothing, or '.' and digits. */
static bool is_punctuated(const char *bytes, size_t len)
{
        if (bytes[4] != '-' || bytes[7] != '-' || (bytes[10] != ' ' && bytes[10] != 'T') || bytes[13] != ':' || bytes[16] != ':')
                return false;
        if (len == 19)
                return true;
        if (len == 20 || bytes[19] != '.')
                return false;
        for (size_t i = 20; i < len; i++)
                if (bytes[i] < '0' || bytes[i] > '9')
                        return false;
        return true;
}

int64_t wal_row_created(const struct wal_row *row)
{
        const struct wal_value *value = &row->columns[WAL_CREATED_AT];
        const char *bytes = value->bytes;
        if (value->class != WAL_TEXT || bytes == NULL || value->len < 19 || !is_punctuated(bytes, (size_t) value->len))
                return 0;
        int64_t days = days_until(digits(bytes, 0, 4), digits(bytes, 5, 2), digits(bytes, 8, 2));
        int hour = digits(bytes, 11, 2), minute = digits(bytes, 14, 2), second = digits(bytes, 17, 2);
        if (days < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
                return 0;
        return days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
}
