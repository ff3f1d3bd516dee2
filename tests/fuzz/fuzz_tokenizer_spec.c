/*
 * The tokenizer that a user asks for. What is accepted has one form, which is its own, can be shown, and is a tokenizer to SQLite too; what is refused leaves nothing but a
 * sentence.
 */
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ops/operation/tokenizer_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define UNTOUCHED 0x5a

static void check(bool good)
{
        if (!good)
                abort();
}

static void check_form(const char *form)
{
        char again[TOKENIZER_MAX];
        struct error e = { 0 };
        size_t len = strlen(form);
        check(len > 0 && utf8_valid(form, len));
        for (size_t i = 0; i < len; i++)
                check(!iscntrl((unsigned char) form[i]));
        check(tokenizer_spec_parse(&(struct text){ (char *) (uintptr_t) form, len }, again, &e) == 0);
        check(strcmp(form, again) == 0);
        check(tokenizer_spec_try(form, &e) == 0);
        check(!tokenizer_spec_answers_like(form) || strncmp(form, "trigram", strlen("trigram")) == 0);
}

static void check_refusal(int r, const struct error *e, const char *form)
{
        check(r == -EINVAL && e->code == r && e->text[0] != '\0' && utf8_valid(e->text, strlen(e->text)));
        for (size_t i = 0; i < TOKENIZER_MAX; i++)
                check(form[i] == UNTOUCHED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char form[TOKENIZER_MAX];
        struct error e = { 0 };
        char *bytes = malloc(size > 0 ? size : 1); /* of its own size, so that a byte too many is found out */
        if (bytes == NULL)
                return 0;
        if (size > 0)
                memcpy(bytes, data, size);
        memset(form, UNTOUCHED, sizeof(form));
        int r = tokenizer_spec_parse(&(struct text){ bytes, size }, form, &e);
        if (r == 0)
                check_form(form);
        else
                check_refusal(r, &e, form);
        free(bytes);
        return 0;
}
