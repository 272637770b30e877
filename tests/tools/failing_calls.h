/* The calls that failing_calls.c can make fail, and what they return then.  Included twice, with
 * two meanings of CALL, BOTH and VARIADIC; so there is no guard.
 *
 * Not here: what librdkafka allocates, since it ends the process when there is no memory. */

/* PostgreSQL */
CALL(PGconn *, PQconnectStart, (const char *dsn), (dsn), NULL)
CALL(PGconn *, PQconnectStartParams, (const char *const *names_, const char *const *values, int expand),
     (names_, values, expand), NULL)
CALL(PostgresPollingStatusType, PQconnectPoll, (PGconn * conn), (conn), PGRES_POLLING_FAILED)
CALL(int, PQsendQueryParams,
     (PGconn * conn, const char *sql, int count, const Oid *types, const char *const *values, const int *sizes,
      const int *formats, int format),
     (conn, sql, count, types, values, sizes, formats, format), 0)
BOTH(int, PQsendQuery, (PGconn * conn, const char *sql), (conn, sql), 0)
CALL(int, PQflush, (PGconn * conn), (conn), -1)
CALL(int, PQconsumeInput, (PGconn * conn), (conn), 0)
CALL(PGresult *, PQgetResult, (PGconn * conn), (conn), no_memory(conn))
CALL(PQconninfoOption *, PQconninfo, (PGconn * conn), (conn), NULL)

/* Kafka */
CALL(rd_kafka_t *, rd_kafka_new, (rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t size),
     (type, conf, text, size), no_client(text, size))
BOTH(rd_kafka_error_t *, rd_kafka_init_transactions, (rd_kafka_t * handle, int timeout), (handle, timeout),
     kafka_error())
BOTH(rd_kafka_error_t *, rd_kafka_begin_transaction, (rd_kafka_t * handle), (handle), kafka_error())
BOTH(rd_kafka_error_t *, rd_kafka_commit_transaction, (rd_kafka_t * handle, int timeout), (handle, timeout),
     kafka_error())
BOTH(rd_kafka_error_t *, rd_kafka_abort_transaction, (rd_kafka_t * handle, int timeout), (handle, timeout),
     kafka_error())
CALL(rd_kafka_resp_err_t, rd_kafka_query_watermark_offsets,
     (rd_kafka_t * handle, const char *topic, int32_t partition, int64_t *low, int64_t *high, int timeout),
     (handle, topic, partition, low, high, timeout), RD_KAFKA_RESP_ERR__TIMED_OUT)
CALL(rd_kafka_resp_err_t, rd_kafka_metadata,
     (rd_kafka_t * handle, int all, rd_kafka_topic_t *topic, const struct rd_kafka_metadata **ret, int timeout),
     (handle, all, topic, ret, timeout), RD_KAFKA_RESP_ERR__TIMED_OUT)
CALL(int, rd_kafka_consume_start, (rd_kafka_topic_t * topic, int32_t partition, int64_t offset),
     (topic, partition, offset), -1)
CALL(rd_kafka_message_t *, rd_kafka_consume, (rd_kafka_topic_t * topic, int32_t partition, int timeout),
     (topic, partition, timeout), NULL)
VARIADIC(rd_kafka_resp_err_t, rd_kafka_producev, (rd_kafka_t * handle, ...), RD_KAFKA_RESP_ERR__QUEUE_FULL)
CALL(rd_kafka_topic_t *, rd_kafka_topic_new, (rd_kafka_t * handle, const char *name, rd_kafka_topic_conf_t *conf),
     (handle, name, conf), NULL)
CALL(rd_kafka_resp_err_t, rd_kafka_flush, (rd_kafka_t * handle, int timeout), (handle, timeout),
     RD_KAFKA_RESP_ERR__TIMED_OUT)

/* HTTP */
CALL(CURL *, curl_easy_init, (void), (), NULL)
VARIADIC(CURLcode, curl_easy_setopt, (CURL * easy, CURLoption option, ...), CURLE_OUT_OF_MEMORY)
CALL(CURLM *, curl_multi_init, (void), (), NULL)
CALL(CURLMcode, curl_multi_add_handle, (CURLM * multi, CURL *easy), (multi, easy), CURLM_OUT_OF_MEMORY)
CALL(CURLMcode, curl_multi_perform, (CURLM * multi, int *running), (multi, running), CURLM_OUT_OF_MEMORY)
CALL(CURLMcode, curl_multi_poll,
     (CURLM * multi, struct curl_waitfd *fds, unsigned int count, int timeout, int *ready),
     (multi, fds, count, timeout, ready), CURLM_OUT_OF_MEMORY)
CALL(CURLMcode, curl_multi_wakeup, (CURLM * multi), (multi), CURLM_WAKEUP_FAILURE)
CALL(struct curl_slist *, curl_slist_append, (struct curl_slist * list, const char *text), (list, text), NULL)
CALL(CURLU *, curl_url, (void), (), NULL)

/* The kernel */
CALL(int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument),
     (thread, attributes, function, argument), EAGAIN)
CALL(int, eventfd, (unsigned int value, int flags), (value, flags), with_errno(EMFILE))
CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol), with_errno(EMFILE))
